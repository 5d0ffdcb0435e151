"""Intervals and p as published, or counted by hand."""

from __future__ import annotations

import pytest

from tests.tiny_world.shares import change, mcnemar, newcombe, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_in_newcombe_1998_table_1(
    right: int, count: int, low: float, high: float
) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(count - right, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_paired_interval_as_published() -> None:
    """36, 12, 2 and 0 of 50: Newcombe 1998, method 10."""
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    assert newcombe(36, 2, 12, 0) == pytest.approx((-0.3404, -0.0569), abs=5e-5)


def test_where_nothing_changes_the_interval_lies_around_zero() -> None:
    for counts in ((30, 0, 0, 0), (0, 0, 0, 30), (15, 0, 0, 15)):
        low, high = newcombe(*counts)
        assert -0.15 < low < 0 < high < 0.15
        assert low == pytest.approx(-high)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1), (5, 5, 1), (5, 0, 2 / 32), (1, 9, 22 / 1024), (6, 16, 0.0524788)],
)
def test_mcnemar_counts_throws_of_a_coin(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(p, abs=5e-8)


def test_a_change_is_counted_pair_by_pair() -> None:
    """Three pairs gained, one lost; the others are the same before and after."""
    before = [False, False, False, True, True, True, False, False]
    after = [True, True, True, False, True, True, False, False]
    seen = change(before, after)
    assert (seen.difference, seen.p) == (2 / 8, 10 / 16)
    assert (seen.low, seen.high) == newcombe(2, 3, 1, 2)


def test_pairs_have_two_sides() -> None:
    with pytest.raises(ValueError, match="shorter"):
        change([True, False], [True])
