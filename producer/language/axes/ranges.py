"""Ranges as they are written: `0..99`, `5..13 by 0.5`. Both ends are included, in decimals."""

from __future__ import annotations

import re

from common.batch import WHOLE_SETTINGS, RangeAxis
from producer.language.mistakes import Mistake
from producer.language.settings import Scope, Setting
from producer.language.yaml import Scalar

_NUMBER = r"-?\d{1,30}(?:\.\d{1,15})?"
_RANGE = re.compile(
    rf"\s*(?P<first>{_NUMBER})\s*\.\.\s*(?P<last>{_NUMBER})(?:\s+by\s+(?P<step>{_NUMBER}))?\s*"
)
#: The same for regular expressions outside of Python, whose groups have other names.
RANGE_PATTERN = "^" + re.sub(r"\?P<\w+>", "", _RANGE.pattern) + "$"

_LIKE_A_RANGE = re.compile(r"\s*-?\d[\d.]*?\s*\.\.")


def is_like_a_range(text: str) -> bool:
    """Whether a range was meant, rightly written or not."""
    return bool(_LIKE_A_RANGE.match(text))


def read_range(name: str, setting: Setting, node: Scalar, scope: Scope) -> RangeAxis:
    """The axis `name` from a range of its setting; its last value is one that is reached.

    Raises Mistake.
    """
    match = _RANGE.fullmatch(node.text)
    if match is None:
        raise Mistake("not-a-range", node)
    first, last = (_plain(number) for number in match.group("first", "last"))
    step = _plain(match["step"] or "1")
    for end in (first, last):
        setting.read(Scalar(_value(end), end), scope)
    _check_step(name, step, node)
    if _value(first) > _value(last):
        raise Mistake("runs-backwards", node, first=first, last=last)
    axis = RangeAxis(name=name, first=first, last=last, step=step)
    reached = axis.value(axis.count - 1).label
    if reached != last and not match["step"]:
        raise Mistake("misses-its-end", node, first=first, last=last, reached=reached)
    return RangeAxis(name=name, first=first, last=reached, step=step if first != reached else "1")


def between(node: Scalar) -> tuple[str, str] | None:
    """The two ends of a range without a step, or None."""
    match = _RANGE.fullmatch(node.text)
    if match is None or match["step"]:
        return None
    return _plain(match["first"]), _plain(match["last"])


def _check_step(name: str, step: str, node: Scalar) -> None:
    if _value(step) <= 0:
        raise Mistake("step-not-above-0", node, step=step)
    if name in WHOLE_SETTINGS and "." in step:
        raise Mistake("step-not-whole", step=step, name=name)


def _plain(number: str) -> str:
    """Without zeros that say nothing: `07.50` is `7.5`."""
    sign, digits = ("-", number[1:]) if number.startswith("-") else ("", number)
    whole, _, behind = digits.partition(".")
    digits = (whole.lstrip("0") or "0") + (f".{behind}".rstrip("0").rstrip("."))
    return digits if digits == "0" else sign + digits


def _value(number: str) -> int | float:
    return float(number) if "." in number else int(number)
