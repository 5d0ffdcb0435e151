"""Values that an axis does not have, and ranges that do not meet their end."""

from __future__ import annotations

from common.batch import AnyAxis, RangeAxis
from common.text import suggestion


def nearest_value(axis: AnyAxis, text: str) -> str:
    if isinstance(axis, RangeAxis):
        step = "" if axis.step == "1" else f" by {axis.step}"
        return f"it has {axis.first}..{axis.last}{step}"
    return suggestion(text, axis.labels())


def smaller_steps(first: str, last: str) -> str:
    """A step by which the range probably meets its end."""
    step = "0.1" if float(last) - float(first) <= 1 else "0.5"
    return f"write {first}..{last} by {step}"
