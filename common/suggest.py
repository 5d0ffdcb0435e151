"""The "did you mean" of every message about a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

LISTED = 20
"""So many known names are listed when none is close."""

COMPARED = 1000
"""So many known names are compared, and so long a beginning of each, however many there are."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, whatever its case; None if none is like it."""
    by_lower = {name.lower()[:100]: name for name in islice(known, COMPARED)}
    close = get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def meant(word: str, known: Iterable[str]) -> str:
    """A hint: the name that was probably meant, else the names there are."""
    names = list(known)
    close = closest(word, names)
    if close is not None:
        return f"did you mean {close[:100]!r}?"
    more = ", …" if len(names) > LISTED else ""
    listed = ", ".join(name[:40] for name in names[:LISTED])
    return f"known are {listed}{more}" if names else ""
