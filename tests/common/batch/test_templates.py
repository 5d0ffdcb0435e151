"""Words in prompts: filled in, nested, doubled braces, and what can't be filled in."""

from __future__ import annotations

import pytest

from common.batch import MAX_FILLED, fill, names_in
from common.errors import GridfarmError

WORDS = {"animal": "wolf", "place": "Yosemite", "beast": "big {animal}", "a": "{beast} in {place}"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("no braces", "no braces"),
        ("a {animal} in {place}", "a wolf in Yosemite"),
        ("{animal}{animal}", "wolfwolf"),
        ("{a}", "big wolf in Yosemite"),
        ("{{animal}}", "{animal}"),
        ("{{{animal}}}", "{wolf}"),
        ("{{{{", "{{"),
        ("}}", "}"),
        ("{", "{"),
        ("{animal", "{animal"),
        ("animal}", "animal}"),
        ("{a|b}", "{a|b}"),
        ("{}", "{}"),
        ("{ animal }", "{ animal }"),
        ("{2animal}", "{2animal}"),
        ("{animal.name}", "{animal.name}"),
        ("({animal})++", "(wolf)++"),
    ],
)
def test_fill(text: str, filled: str) -> None:
    assert fill(text, WORDS) == filled


def test_a_word_with_doubled_braces_is_filled_in_once() -> None:
    assert fill("{x}", {"x": "{{animal}}", "animal": "wolf"}) == "{animal}"


def test_names_are_unicode_letters_digits_and_underscores() -> None:
    assert names_in("{Tier_2} {straße} {_x} {9} {a-b} {Tier_2}") == ["Tier_2", "straße", "_x"]


def test_doubled_braces_name_nothing() -> None:
    assert names_in("{{animal}} {{{place}}}") == ["place"]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("{x}", {}, "no word {x}"),
        ("{x}", {"x": "{y}"}, "no word {y}"),
        ("{x}", {"x": "a {x}"}, "{x} is made of itself"),
        ("{x}", {"x": "{y}", "y": "{x}"}, "is made of itself"),
        ("{x}{x}", {"x": "b" * (MAX_FILLED // 2 + 1)}, "more than 20,000 characters"),
        ("{x}" * 3000, {"x": "b" * 10}, "more than 20,000 characters"),
    ],
    ids=["unknown", "unknown inside", "itself", "circle", "long", "often"],
)
def test_what_cannot_be_filled_in(text: str, words: dict[str, str], message: str) -> None:
    with pytest.raises(GridfarmError, match=message.replace("{", r"\{")):
        fill(text, words)


def test_a_word_used_twice_is_no_circle() -> None:
    assert fill("{x} {y}", {"x": "{y}", "y": "{z}", "z": "a"}) == "a a"


def test_doubling_words_end_before_they_fill_the_memory() -> None:
    words = {f"w{n}": f"{{w{n - 1}}}" * 2 for n in range(1, 60)} | {"w0": "ha"}
    with pytest.raises(GridfarmError, match="more than 20,000"):
        fill("{w59}", words)
