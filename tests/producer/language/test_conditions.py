"""`exclude` and `only`: which labels a condition names."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.language import BatchFile, load_batch_file


def load(text: str) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=Path("/batches"))


TEXT = (
    "prompts: {wolf: A wolf, cat: A cat}\nseeds: 0..9\n"
    "variants: {base: {}, other: {steps: 3}}\n"
    "axes: {guidance_scale: [5, 7.5], negative_prompt: {none: null, ugly: bad}}\n"
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{prompt: wolf}", {"prompt": ("wolf",)}),
        ("{prompt: A wolf}", {"prompt": ("wolf",)}),
        (
            "{prompt: [cat, A wolf, wolf], variant: base}",
            {"prompt": ("wolf", "cat"), "variant": ("base",)},
        ),
        ("{seed: [3, 9]}", {"seed": ("3", "9")}),
        ("{guidance_scale: 5.0}", {"guidance_scale": ("5",)}),
        ("{negative_prompt: null}", {"negative_prompt": ("none",)}),
        ("{negative_prompt: bad}", {"negative_prompt": ("ugly",)}),
        ("{variant: base, seed: 0}", {"variant": ("base",), "seed": ("0",)}),
    ],
)
def test_a_value_matches_a_label_else_a_value(
    condition: str, expected: dict[str, tuple[str, ...]]
) -> None:
    assert load(f"{TEXT}exclude: [{condition}]").batch.exclude == (expected,)
    assert load(f"{TEXT}only: [{condition}]").batch.only == (expected,)


def test_a_mapping_matches_where_the_setting_takes_mappings() -> None:
    text = "prompts: [a]\nlora_files: {w: me/w}\naxes: {loras: {off: {}, on: {w: 1}}}\n"
    assert load(f"{text}exclude: [{{loras: {{w: 1.0}}}}]").batch.exclude == ({"loras": ("on",)},)
