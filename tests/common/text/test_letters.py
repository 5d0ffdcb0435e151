"""What a name keeps, and what never gets into one."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from common.text import is_letter, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wrong LoRA_2", ["wrong", "LoRA", "2"]),
        ("Ünïcode 猫", ["Ünïcode", "猫"]),
        ("cafe\u0301", ["café"]),
        ("हिन्दी שָׁלוֹם สวัสดี", ["हिन्दी", unicodedata.normalize("NFC", "שָׁלוֹם"), "สวัสดี"]),
        ("../a\\b\0c\x1b", ["a", "b", "c"]),
        ("a\u202eb\u200bc\u200d\ufeffd", ["a", "b", "c", "d"]),
        ("\u0301a -\u0301", ["a"]),
        ("\u3164\uffa0\u115f", []),
        ("1\ufe0f\u20e3 🐺", ["1"]),
        ("\ud800", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_no_character_that_cannot_be_seen_or_divides_a_path_is_a_letter() -> None:
    """Of all of Unicode."""
    letters = [char for char in map(chr, range(sys.maxunicode + 1)) if is_letter(char)]
    assert len(letters) > 100_000
    assert {unicodedata.category(char)[0] for char in letters} == {"L", "M", "N"}
    assert all(char.isprintable() for char in letters)
    assert not set(letters) & set("\u034f\u115f\u1160\u3164\ufe0f\uffa0\u200b\u200d\u202e/\\.:%?#*")
