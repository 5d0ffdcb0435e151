"""Values that an axis does not have, and ranges that do not meet their end."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice

from common.batch import AnyAxis, RangeAxis
from common.text import LISTED, suggestion


def nearest_value(axis: AnyAxis, text: str) -> str:
    if isinstance(axis, RangeAxis):
        step = "" if axis.step == "1" else f" by {axis.step}"
        return f"it has {axis.first}..{axis.last}{step}"
    if (number := _number(text)) is not None:
        numbers = [
            (abs(n - number), label) for label in axis.labels() if (n := _number(label)) is not None
        ]
        if numbers:
            return f"the nearest is {min(numbers)[1]}"
    return suggestion(text, axis.labels())


def values_of(axis: AnyAxis) -> str:
    return f"list the values: {', '.join(label[:40] for label in islice(axis.labels(), LISTED))}"


def _number(text: str) -> Fraction | None:
    return Fraction(text) if re.fullmatch(r"-?\d{1,20}(\.\d{1,15})?", text) else None


def smaller_steps(first: str, last: str) -> str:
    """A step by which the range probably meets its end."""
    step = "0.1" if float(last) - float(first) <= 1 else "0.5"
    return f"write {first}..{last} by {step}"
