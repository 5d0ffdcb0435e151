"""Labels that nobody types: a random seed has twenty digits, and its first four tell it."""

from __future__ import annotations

from itertools import pairwise

from common.batch import AnyAxis, Axis

#: Seeds of more digits are shown short, and so many digits are left at least.
LONG, SHORT = 9, 4
CUT = "…"


def short_labels(axis: AnyAxis) -> dict[str, str]:
    """Each long label of the seed axis as its beginning, `1242…`, which no other label has."""
    if axis.name != "seed" or not isinstance(axis, Axis):
        return {}
    labels = sorted(axis.labels())
    alike = [0, *(_alike(*pair) for pair in pairwise(labels)), 0]
    return {
        label: label[: max(SHORT, alike[at] + 1, alike[at + 1] + 1)] + CUT
        for at, label in enumerate(labels)
        if label.isdecimal() and len(label) > LONG
    }


def in_full(axis: AnyAxis, digits: str) -> str | None:
    """The only label of the seed axis that is a number of these first digits, `…` behind them or
    not; None where it is a label itself, or where there are none or several."""
    begun = digits.removesuffix(CUT)
    if axis.name != "seed" or not isinstance(axis, Axis) or not begun.isdecimal():
        return None
    found = [label for label in axis.labels() if label.startswith(begun) and label.isdecimal()]
    return found[0] if len(found) == 1 and len(begun) >= SHORT else None


def _alike(one: str, other: str) -> int:
    """With how many equal characters both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
