"""Texts without quotes, by YAML 1.2's core schema."""

from __future__ import annotations

import math

import pytest

from producer.language.yaml import plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("NULL", None), ("nULL", "nULL"),
        ("TRUE", True), ("False", False), ("yes", "yes"), ("off", "off"),
        ("-7", -7), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("0b1", "0b1"), ("1_000", "1_000"),
        ("1.", 1.0), ("-.5", -0.5), ("1e3", 1000.0), ("1e", "1e"), ("..", ".."),
        ("-.INF", -math.inf), ("inf", "inf"),
        (" 1", " 1"), ("٣", "٣"),
    ],
)  # fmt: skip
def test_numbers_booleans_and_null(text: str, value: object) -> None:
    scalar = plain(text)
    assert (scalar.value, type(scalar.value)) == (value, type(value))


def test_nan_is_a_number() -> None:
    value = plain(".nan").value
    assert isinstance(value, float) and math.isnan(value)


def test_a_number_of_very_many_digits_is_a_text() -> None:
    """Python takes long to read one, and refuses it."""
    assert plain("9" * 400).value == int("9" * 400)
    assert plain("9" * 401).value == float("inf")


def test_the_text_is_kept_and_what_was_cut_off() -> None:
    scalar = plain("1.50", cut="# a comment")
    assert (scalar.text, scalar.plain, scalar.cut) == ("1.50", True, "# a comment")
