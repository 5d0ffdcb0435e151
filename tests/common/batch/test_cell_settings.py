"""The settings of a cell: one field each, and everything else that is known of a setting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from common.batch import TRAITS, WHOLE_SETTINGS, Axis, Batch, CellSettings, Matrix, Value, complete
from common.batch.cell_settings import COLLECTIONS, PROMPTS, traits_of
from common.errors import BadInput
from common.job import BUILTIN_MODELS
from producer.language.settings import DEFAULTS, SETTINGS
from producer.sheet.caption import SHARED

#: What `complete` makes of the least that a document says.
LEAST: dict[str, Any] = complete({**DEFAULTS, "model": "tiny", "prompt": "a wolf"})
#: Another value of every setting, as documents have it.
OTHERS: dict[str, Any] = {
    "model": "owner/name", "prompt": "a cat", "prompt_2": "b", "negative_prompt": "",
    "negative_prompt_2": "c", "seed": "18446744073709551615", "noise": "cuda", "steps": 7,
    "guidance_scale": 7.5, "high_noise_frac": 0.8, "size": "512x768", "original_size": "1x2",
    "target_size": "3x4", "crop": {"left": 8}, "scheduler": {"name": "euler", "steps_offset": 1},
    "loras": {"a": 0.5, "b": {"unet": 1.0}}, "lora_scale": 0.5, "vae": "fp16-fix",
    "dtype": "bf16", "long_prompts": "chunk", "refiner.model": "./folder", "refiner.steps": 9,
    "refiner.guidance_scale": 3.0, "refiner.strength": 0.3, "refiner.aesthetic_score": 7.0,
    "refiner.negative_aesthetic_score": 1.0, "refiner.prompt": "d",
    "refiner.negative_prompt": "e",
}  # fmt: skip


def test_every_row_of_the_catalogue_has_its_field_and_every_field_its_row() -> None:
    assert set(TRAITS) == set(SETTINGS) == set(OTHERS)


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_goes_by_its_flat_name(name: str) -> None:
    settings = CellSettings.model_validate(LEAST | {name: OTHERS[name]})
    assert f"{settings[name]}" == f"{OTHERS[name]}"
    assert f"{CellSettings.model_validate(LEAST)[name]}" != f"{OTHERS[name]}"


def test_nested_settings_are_fields_of_their_group() -> None:
    settings = CellSettings.model_validate(LEAST | OTHERS)
    assert settings.refiner_guidance_scale == settings["refiner.guidance_scale"] == 3.0


@pytest.mark.parametrize("name", ["refiner", "refiner_steps", "loras.a", "words.animal", "nothing"])
def test_what_is_no_setting_is_no_key(name: str) -> None:
    with pytest.raises(KeyError):
        CellSettings.model_validate(LEAST)[name]


def test_words_and_settings_of_others_are_left_out() -> None:
    more = LEAST | {"words.animal": "wolf", "refiner_steps": 3, "clip_skip": 2}
    assert CellSettings.model_validate(more) == CellSettings.model_validate(LEAST)


def test_the_defaults_are_those_of_documents_from_before() -> None:
    """One more of them would give every batch that does not say it another id."""
    assert DEFAULTS == {
        "model": "sdxl", "negative_prompt": None, "seed": "0", "noise": "cpu", "steps": 50,
        "guidance_scale": 5.0, "high_noise_frac": 1.0, "lora_scale": 1.0,
        "long_prompts": "truncate",
    }  # fmt: skip


def test_a_setting_without_a_default_may_be_left_out_of_a_document() -> None:
    for name in SETTINGS.keys() - LEAST.keys():
        assert CellSettings.model_validate(LEAST)[name] in (None, {})


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"lora_scale"}))
def test_a_document_without_a_default_is_damaged(name: str) -> None:
    with pytest.raises(ValidationError):
        CellSettings.model_validate({n: v for n, v in LEAST.items() if n != name})


def test_what_follows_from_the_fields() -> None:
    """Whole numbers, prompts, what is replaced whole, what is slow to change, captions."""
    assert {"seed", "steps", "refiner.steps"} == WHOLE_SETTINGS
    assert set(PROMPTS) == {
        "prompt", "prompt_2", "negative_prompt", "negative_prompt_2", "refiner.prompt",
        "refiner.negative_prompt",
    }  # fmt: skip
    assert COLLECTIONS == ("loras",)
    slow = {n: traits.reloads for n, traits in TRAITS.items() if traits.reloads}
    assert slow == {
        "model": "model", "vae": "model", "refiner.model": "model", "dtype": "model",
        "loras": "loras", "lora_scale": "loras",
    }  # fmt: skip
    assert SHARED == (
        "model", "size", "original_size", "target_size", "crop", "steps", "guidance_scale",
        "scheduler", "high_noise_frac", "refiner.model", "refiner.steps",
        "refiner.guidance_scale", "refiner.strength", "refiner.aesthetic_score",
        "refiner.negative_aesthetic_score", "refiner.prompt", "refiner.negative_prompt",
        "negative_prompt", "loras", "lora_scale", "long_prompts", "seed", "noise",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reloads"), [("loras.style", "loras"), ("words.animal", ""), ("refiner.steps", "")]
)
def test_an_entry_has_the_traits_of_its_collection(name: str, reloads: str) -> None:
    assert traits_of(name).reloads == reloads


#: A cell that uses whatever there is.
EVERYTHING: dict[str, Any] = {
    **DEFAULTS, "model": "tiny", "prompt": "a wolf", "negative_prompt": "bad",
    "high_noise_frac": 0.5, "loras": {"a": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_reaches_the_job(name: str) -> None:
    """Also one that comes later: fields of one name go together of themselves."""
    below = EVERYTHING | ({"high_noise_frac": 1.0} if name == "refiner.strength" else {})
    pins = {**BUILTIN_MODELS, "owner/name": f"tree:{'1' * 64}", "./folder": f"tree:{'2' * 64}"}
    plain, changed = (
        Matrix(
            Batch(
                name="x", settings=settings, axes=(), models=pins,
                loras={"a": "a" * 64, "b": "b" * 64},
            )
        )[0]
        for settings in (below, below | {name: OTHERS[name]})
    )  # fmt: skip
    assert plain and changed
    assert plain.key != changed.key


DAMAGED: list[dict[str, Any]] = [
    {"steps": "many"}, {"steps": None}, {"steps": 1.5}, {"guidance_scale": []}, {"seed": "x"},
    {"seed": {}}, {"noise": "gpu"}, {"dtype": "fp8"}, {"prompt": 3},
    {"prompt": None}, {"size": "large"}, {"size": 3}, {"size": "1x2x3"}, {"model": []},
    {"model": "unheard-of"}, {"crop": {"right": 1}}, {"crop": 3}, {"loras": ["a"]},
    {"loras": {"unheard-of": 1}}, {"loras": {"a": "strong"}}, {"loras.a": {"vae": 1}},
    {"loras": {"a": [[[]]]}}, {"lora_scale": "x"}, {"scheduler": {"name": 3}},
    {"scheduler": [1]}, {"high_noise_frac": 0.5, "refiner.model": 3},
    {"high_noise_frac": 0.5, "refiner.steps": {}}, {"refiner.strength": "x"},
    {"refiner.strength": float("inf")}, {"words.a": 1, "prompt": "{b}"},
]  # fmt: skip


@pytest.mark.parametrize("change", DAMAGED, ids=json.dumps)
def test_settings_that_nobody_wrote_are_a_clear_error(change: dict[str, Any]) -> None:
    """A document may come from a stranger: its cells fail, the worker does not."""
    values = (Value(label="x", settings={"prompt": "a wolf", "loras": {"a": 1.0}} | change),)
    batch = Batch(
        name="damaged", settings={**DEFAULTS, "model": "tiny"},
        axes=(Axis(name="variant", values=values),),
        models=dict(BUILTIN_MODELS), loras={"a": "a" * 64},
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"^cell 0 \(variant x\): "):
        Matrix(batch)[0]


def test_what_is_wrong_is_named() -> None:
    settings = {**DEFAULTS, "model": "tiny", "prompt": "a wolf", "steps": "many"}
    batch = Batch(name="x", settings=settings, axes=(), models=dict(BUILTIN_MODELS))
    with pytest.raises(BadInput, match=r"none that gridfarm writes \(steps: .* valid integer"):
        Matrix(batch)[0]
