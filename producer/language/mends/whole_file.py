"""What is wrong with a file as a whole, where that takes more than a few words."""

from __future__ import annotations

from collections.abc import Sequence


def circle(names: Sequence[str]) -> str:
    words = " and ".join(f"{{{name}}}" for name in names[:5])
    return f"{words} {'is made of itself' if len(names) == 1 else 'are made of each other'}"


def filled_too_long(text: str, length: int) -> str:
    return f"the words of {text[:60]!r} make a prompt of up to {length:,} characters"


def filled_wrong(text: str, says: str) -> str:
    return f"{text[:60]!r} filled in {says}"


def filled(filled: str) -> str:
    return f"it becomes {filled[:80]!r}"


def product(lengths: Sequence[int], cells: int) -> str:
    return f"{' × '.join(f'{length:,}' for length in lengths)} makes {cells:,} cells"
