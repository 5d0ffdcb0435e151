"""`axis=value` as a command line says it, and where on an axis that is."""

from __future__ import annotations

from common.batch import RangeAxis
from producer.language import find_values, parse_where
from tests.support.trials import load


def test_an_equals_sign_in_the_value() -> None:
    assert parse_where(["prompt=a=b", "x >= 3"]) == {"prompt": ["a=b"], "x": [">=3"]}


def test_a_million_seeds_are_not_listed() -> None:
    axis = RangeAxis(name="seed", first="0", last="999999999")
    spans = find_values(axis, ["> 9"], load().batch)
    assert [*spans.ranges] == [range(10, 10**9)]
