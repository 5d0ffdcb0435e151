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
