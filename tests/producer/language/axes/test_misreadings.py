"""Commas that tear a value in braces apart, and what only looks like that."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BatchFileError
from producer.language import load_batch_file


def said(text: str) -> list[str]:
    with pytest.raises(BatchFileError) as caught:
        load_batch_file(None, text=text, base_dir=Path())
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "prompts: ['a {animal}']\nwords:\n  animal: wolf\n  weather:\n",
            [
                "words.animal: must be a list of values, or name: value, not 'wolf' (write [wolf])",
                "words.weather: must be a list of values, or name: value, not null"
                " (write [value, value])",
            ],
        ),
        (
            "prompts: [a]\naxes:\n  steps: 10\n  seedling:\n",
            [
                "axes.steps: must be a list of values, or name: value, not 10 (write [10])",
                "axes.seedling: must be a list of values, or name: value, not null",
            ],
        ),
        (
            "prompts:\n  - prompt: a wolf\n    chilly:\n",
            [
                "prompts.1.chilly: is not a setting",
            ],
        ),
    ],
    ids=["words", "axes", "bundle"],
)
def test_a_value_forgotten_on_a_line_of_its_own_is_not_torn_off(
    text: str, problems: list[str]
) -> None:
    told = said(text)
    assert [one[: len(start)] for one, start in zip(told, problems, strict=True)] == problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "prompts: ['a {animal}']\nwords: {animal: wolf, cat}",
            "words.animal: is a list without its brackets (write animal: [wolf, cat])",
        ),
        (
            "prompts: [{prompt: A wolf, chilly}]",
            'prompts.1.prompt: ends at its comma (quote it: prompt: "A wolf, chilly")',
        ),
        (
            "prompts: [a]\nsettings: {negative_prompt: blurry, grain, steps: 4}",
            "settings.negative_prompt: ends at its comma"
            ' (quote it: negative_prompt: "blurry, grain")',
        ),
    ],
    ids=["list", "prompt", "settings"],
)
def test_what_a_comma_in_braces_has_torn_off_is_put_back(text: str, problem: str) -> None:
    assert said(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "prompts: [a]\nsettings: {model: tiny, guidance_scale: 1,5, steps: 4}",
            "settings.guidance_scale: ends at its comma (write 1.5)",
        ),
        (
            "prompts: [{prompt: a, lora_scale: -0,75}]",
            "prompts.1.lora_scale: ends at its comma (write -0.75)",
        ),
        (
            "prompts: [a]\nsettings: {refiner: {aesthetic_score: 6,5}}",
            "settings.refiner.aesthetic_score: ends at its comma (write 6.5)",
        ),
        (
            "prompts: [a]\nsettings: {loras: {tiny-wrong: 0,8}}",
            "settings.loras.tiny-wrong: ends at its comma (write 0.8)",
        ),
        (
            "prompts: [a]\nvariants: {low: {steps: 20,30}}",
            "variants.low.steps: ends at its comma (write one number; several are an axis of"
            " their own: steps: [20, 30])",
        ),
        (
            "prompts: [a]\nsettings: {guidance_scale: 5, 7, 9}",
            "settings.guidance_scale: ends at its comma (write one number; several are an axis of"
            " their own: guidance_scale: [5, 7, 9])",
        ),
    ],
    ids=["setting", "negative", "group", "lora", "whole", "several"],
)
def test_a_number_with_a_decimal_comma_is_shown_with_its_point(text: str, problem: str) -> None:
    assert said(text) == [problem]


def test_a_number_beside_a_name_without_a_value_is_not_torn() -> None:
    [problem] = said("prompts: [a]\nsettings: {guidance_scale: 5, chilly}")
    assert problem.startswith("settings.chilly: is not a setting")
