"""Shares of right pictures with their uncertainty, and two of them on the same prompts and seeds.

Intervals hold the true value 19 times in 20. R. G. Newcombe, Statistics in Medicine 17 (1998):
857–872 for one share, 2635–2650 (method 10) for the difference of paired ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

#: The standard normal deviate of 95%.
Z = 1.959964


@dataclass(frozen=True)
class Change:
    """Of a share, from one set of pictures to the other: its interval, and how likely one as
    large is by chance alone (McNemar's exact test)."""

    difference: float
    low: float
    high: float
    p: float


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share, after Wilson."""
    share, weight = right / count, Z * Z / count
    middle = share + weight / 2
    half = sqrt(weight * (share * (1 - share) + weight / 4))
    return max(0, (middle - half) / (1 + weight)), min(1, (middle + half) / (1 + weight))


def change(before: Sequence[bool], after: Sequence[bool]) -> Change:
    """From `before` to `after`, which are about the same prompts and seeds in the same order."""
    pairs = [(bool(one), bool(two)) for one, two in zip(before, after, strict=True)]
    both, gained, lost, neither = (
        pairs.count(pair) for pair in ((True, True), (False, True), (True, False), (False, False))
    )
    low, high = newcombe(both, gained, lost, neither)
    return Change((gained - lost) / len(pairs), low, high, mcnemar(gained, lost))


def newcombe(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """The interval of (gained - lost) / count, the difference of two paired shares."""
    count = both + gained + lost + neither
    one, two = (both + gained) / count, (both + lost) / count
    (low_one, high_one), (low_two, high_two) = (wilson(both + n, count) for n in (gained, lost))
    alike = _correlation(both, gained, lost, neither)
    down = _together(one - low_one, high_two - two, alike)
    up = _together(high_one - one, two - low_two, alike)
    return one - two - down, one - two + up


def _together(one: float, two: float, alike: float) -> float:
    return sqrt(max(0, one * one - 2 * alike * one * two + two * two))


def _correlation(both: int, gained: int, lost: int, neither: int) -> float:
    """Of the pairs, corrected for continuity where it is positive; 0 where it is not defined."""
    count = both + gained + lost + neither
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    alike = float(both * neither - gained * lost)
    if alike > 0:
        alike = max(0.0, alike - count / 2)
    return alike / sqrt(product) if product else 0.0


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided: how likely a coin thrown for every change is as one-sided as these."""
    changed = gained + lost
    tail = sum(comb(changed, n) for n in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**changed)
