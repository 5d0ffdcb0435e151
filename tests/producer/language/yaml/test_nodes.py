"""Nodes as JSON, and as messages show them."""

from __future__ import annotations

import pytest

from producer.language.yaml import NULL, Entries, Items, Node, Scalar, is_null, shown, to_json

TWO = Scalar(2, "0x2", plain=True)
WOLF = Scalar("wolf", "wolf")


def test_to_json() -> None:
    node = Entries({"a": Items((TWO, WOLF, NULL)), "1": Entries({})})
    assert to_json(node) == {"a": [2, "wolf", None], "1": {}}


def test_is_null() -> None:
    assert is_null(NULL) and is_null(Scalar(None, "~", plain=True))
    assert not is_null(Scalar("", "")) and not is_null(Items(()))


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (WOLF, "'wolf'"),
        (TWO, "0x2"),
        (NULL, "null"),
        (Items((TWO, WOLF)), "a list of 2"),
        (Entries({}), "a mapping of nothing"),
        (Entries(dict.fromkeys("abcdef", TWO)), "a mapping of a, b, c, d, e"),
    ],
)
def test_nodes_in_messages(node: Node, text: str) -> None:
    assert str(node) == text


def test_a_long_text_is_cut_to_a_line() -> None:
    assert shown("x" * 80) == repr("x" * 80)
    assert shown("x" * 81) == repr("x" * 79 + "…")
