"""What a batch refers to, from its settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import Layer
from common.job import builtin_models
from producer.language import load_batch_file, with_references
from producer.language.references import loras_named, models_named


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ([{"model": "sdxl"}], ["sdxl", "sdxl-refiner", "fp16-fix"]),
        ([{"model": "tiny"}], ["tiny", "tiny-refiner"]),
        (
            [{"model": "tiny"}, {"model": "a/b"}],
            ["tiny", "a/b", "tiny-refiner", "sdxl-refiner", "fp16-fix"],
        ),
        ([{"model": "tiny"}, {"vae": "own"}, {"vae": "c/d"}], ["tiny", "tiny-refiner", "c/d"]),
        ([{"model": "tiny", "refiner.model": "e/f"}], ["tiny", "tiny-refiner", "e/f"]),
    ],
)
def test_models_with_those_of_defaults(layers: list[Layer], names: list[str]) -> None:
    assert models_named(layers) == names


def test_loras_by_mappings_and_by_strengths_each_once() -> None:
    layers: list[Layer] = [
        {"loras": {"a": 1, "b": 0.5}},
        {"loras.c": 1, "loras.a": 0},
        {"steps": 3},
    ]
    assert loras_named(layers) == ["a", "b", "c"]


def test_pins_that_a_batch_has_stay_and_what_nothing_names_goes() -> None:
    text = "prompts: [a wolf]\nmodel: owner/name\n"
    batch = load_batch_file(None, text=text, base_dir=Path("/batches")).batch
    pin = builtin_models.TINY_BASE
    pinned = batch.model_copy(update={"models": {"owner/name": pin, "gone/too": pin}})
    models = with_references(pinned).models
    assert models["owner/name"] == pin
    assert models["fp16-fix"] == builtin_models.BUILTIN_MODELS["fp16-fix"]
    assert "gone/too" not in models
