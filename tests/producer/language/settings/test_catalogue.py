"""The catalogue: a row for every setting that a cell has, each with what the guide says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import TRAITS
from producer.language.settings import DEFAULTS, PROMPTS, SETTINGS, SIZES, WORD, Scope, find_setting
from producer.language.yaml import Entries, plain


def test_there_is_a_row_for_every_field_of_a_cells_settings() -> None:
    assert {*SETTINGS} == {*TRAITS}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_row_says_what_the_setting_is(name: str) -> None:
    assert SETTINGS[name].about


def test_find_setting_knows_loras_and_words_besides() -> None:
    assert find_setting("steps") is SETTINGS["steps"]
    assert find_setting("words.animal") is WORD
    strength = find_setting("loras.style")
    assert strength and strength.kind == "numeric"
    assert find_setting("loras") is SETTINGS["loras"]


@pytest.mark.parametrize("name", ["step", "words.", "words", "loras.", "refiner", ""])
def test_find_setting_knows_nothing_else(name: str) -> None:
    assert find_setting(name) is None


def test_a_mapping_is_a_value_or_a_bundle() -> None:
    steps, style = Entries({"steps": plain("3")}), Entries({"name": plain("euler")})
    assert SETTINGS["scheduler"].owns(style) and not SETTINGS["scheduler"].owns(steps)
    assert SETTINGS["loras"].owns(steps)
    assert not SETTINGS["prompt"].owns(style)


def test_defaults_pass_their_own_rows() -> None:
    scope = Scope(Path("/batches"))
    for name in ("guidance_scale", "steps", "lora_scale"):
        assert SETTINGS[name].read(plain(str(DEFAULTS[name])), scope) == DEFAULTS[name]


def test_what_depends_on_the_model_has_no_default() -> None:
    assert DEFAULTS.keys().isdisjoint({"size", "dtype", "vae", "refiner.model"})


def test_words_are_filled_in_where_texts_are() -> None:
    assert {SETTINGS[name].kind for name in PROMPTS} == {"text"}
    assert "prompt" in PROMPTS


def test_sizes_are_what_is_in_pixels() -> None:
    assert SIZES == ("size", "original_size", "target_size", "crop")
