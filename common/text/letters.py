"""Which characters a name keeps, whatever its script: letters, digits, and the marks on them."""

from __future__ import annotations

import re
import unicodedata

#: Letters and marks that draw nothing: fillers, joiners, variation selectors. Two names that
#: differ in them alone look the same.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_letter(char: str) -> bool:
    """Whether it is a letter, a digit or a mark on one that can be seen. No control, bidi or
    zero-width character is, and nothing that a path or a URL is divided by."""
    if char.isascii():
        return char.isalnum()
    seen = char.isalnum() or unicodedata.category(char) in ("Mn", "Mc")
    return seen and not _UNSEEN.match(char)


def words_of(text: str) -> list[str]:
    """The runs of letters in `text`, in NFC; a mark without a letter before it belongs to none."""
    kept = ""
    for char in unicodedata.normalize("NFC", text):
        alone = not (kept and kept[-1] != " ") and not char.isalnum()
        kept += char if is_letter(char) and not alone else " "
    return kept.split()
