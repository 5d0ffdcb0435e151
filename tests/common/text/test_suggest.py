"""The "did you mean": the nearest name, other programs' words for it, else the names there are."""

from __future__ import annotations

import pytest

from common.text import ELSEWHERE, LISTED, closest, suggestion
from common.text.suggest import COMPARED

SETTINGS = ("steps", "guidance_scale", "scheduler", "size", "seed")


@pytest.mark.parametrize(
    ("word", "name"),
    [("step", "steps"), ("STEPS", "steps"), ("sheduler", "scheduler"), ("zzz", None), ("", None)],
)
def test_the_nearest_name_is_meant_and_none_where_none_is_near(word: str, name: str | None) -> None:
    assert closest(word, SETTINGS) == name


def test_a_name_keeps_its_own_case() -> None:
    assert closest("watercolour", ["Ink", "Watercolor"]) == "Watercolor"


@pytest.mark.parametrize(("word", "name"), [("cfg", "guidance_scale"), ("Sampler", "scheduler")])
def test_other_programs_words_are_understood(word: str, name: str) -> None:
    assert closest(word, SETTINGS) == name


def test_a_word_of_other_programs_is_no_hint_where_ours_is_not_known() -> None:
    assert ELSEWHERE["cfg"] == "guidance_scale"
    assert closest("cfg", ["prompt"]) is None


def test_only_so_many_names_are_compared() -> None:
    names = [f"{number:04d}" for number in range(COMPARED)]
    assert closest("wolf", [*names[1:], "wolf"]) == "wolf"
    assert closest("wolf", [*names, "wolf"]) is None


def test_a_hint_offers_one_name_or_lists_them() -> None:
    assert suggestion("step", SETTINGS) == "did you mean 'steps'?"
    assert suggestion("zzz", ["wolf", "cat"]) == "known are wolf, cat"
    assert suggestion("zzz", []) == ""


def test_a_long_list_is_cut() -> None:
    hint = suggestion("zzz", [f"{number}" for number in range(LISTED + 1)])
    assert hint.endswith(f", {LISTED - 1}, …")
