"""What is said of a batch that is right."""

from __future__ import annotations

import pytest

from common.batch import Matrix
from producer.lint import equal_cells, notes_on_batch
from tests.support.trials import load


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("prompts: [a]\nsettings: {size: 512x512}", "size 512x512 is outside"),
        ("prompts: [a]\naxes: {size: [1024x1024, 296x400]}", "size 296x400"),
        (f"prompts: ['{'wolf ' * 90}']", "tokens and the text encoders read 75"),
        (f"words: {{w: [{'wolf ' * 45}]}}\nprompts: ['{{w}} {{w}}']", "text encoders read 75"),
        ("prompts: [a]\nsettings: {refiner: {steps: 5}}", "no cell has a refiner"),
        ("prompts: [a]\nsettings: {refiner: {strength: 0.3}, high_noise_frac: 0.8}",
         "refiner.strength has no effect"),
        ("prompts: [a]\nsettings: {negative_prompt_2: bad}", "negative_prompt_2 has no effect"),
    ],
)  # fmt: skip
def test_is_said(text: str, note: str) -> None:
    assert [
        said for said in notes_on_batch(load(text.replace("300x400", "296x400"))) if note in said
    ]


@pytest.mark.parametrize(
    "text",
    [
        "prompts: [a wolf]\nsettings: {high_noise_frac: 0.8, refiner: {steps: 5}}",
        f"prompts: ['{'wolf ' * 90}']\nsettings: {{long_prompts: chunk}}",
        "model: tiny\nprompts: [a]\nsettings: {size: 64x64}",
    ],
    ids=["refiner", "chunk", "tiny"],
)
def test_nothing_is_said_of_what_is_usual(text: str) -> None:
    assert [*notes_on_batch(load(text))] == []


def test_equal_cells_are_named_with_what_makes_no_difference() -> None:
    text = "prompts: [a]\nseeds: 1..2\nvariants: {base: {}, worse: {negative_prompt: bad}}\n"
    [note] = equal_cells(Matrix(load(f"{text}settings: {{guidance_scale: 1}}").batch))
    assert "#1 is the same picture as #0: variant 'worse' changes nothing from 'base'" in note
    assert not [*equal_cells(Matrix(load(text).batch))]
