"""Numbers that a setting takes, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass

from producer.language.mistakes import Mistake
from producer.language.yaml import Node, Scalar


@dataclass(frozen=True)
class Bounds:
    """Numbers from `low` to `high`, without `low` itself if `above`, without fractions if
    `whole`."""

    low: int | float
    high: int | float
    whole: bool = False
    above: bool = False

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number from {self.low} to {self.high}"
        return f"a number {'above' if self.above else 'from'} {self.low:g} to {self.high:g}"

    def hold(self, value: int | float) -> bool:
        if isinstance(value, bool) or (self.whole and isinstance(value, float)):
            return False
        return self.low < value <= self.high if self.above else self.low <= value <= self.high


def read_number(node: Node, bounds: Bounds) -> int | float:
    """The number that `node` is, as YAML reads it. Raises Mistake."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int | float) and bounds.hold(value):
        return value
    raise Mistake("out-of-bounds", node, bounds=bounds)


def read_whole(node: Node, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises Mistake."""
    return int(read_number(node, Bounds(low, high, whole=True)))
