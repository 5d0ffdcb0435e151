"""Sets of positions on an axis, and the labels that stand for them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from common.batch import Axis, RangeAxis, Spans, Value, labels_of, spans_of

spans = st.lists(st.builds(range, st.integers(0, 20), st.integers(0, 20)), max_size=5)


@given(spans)
def test_spans_are_a_set_of_positions(ranges: list[range]) -> None:
    found = Spans(ranges)
    positions = {position for span in ranges for position in span}
    assert [*found] == sorted(positions)
    assert len(found) == len(positions)
    assert {*found.rest(21)} == {*range(21)} - positions
    assert all(a.stop < b.start for a, b in itertools.pairwise(found.ranges))


@given(spans, spans)
def test_what_is_in_both(one: list[range], other: list[range]) -> None:
    first, second = Spans(one), Spans(other)
    both = first & second
    assert [*both] == sorted({*first} & {*second})
    assert both.ranges == (second & first).ranges
    assert all(
        span and a.stop < b.start for a, b in itertools.pairwise(both.ranges) for span in (a, b)
    )


def test_the_common_part_of_a_billion_positions_is_found_at_once() -> None:
    even = Spans(range(at, at + 1) for at in range(0, 20_000, 2))
    assert (Spans([range(10**9)]) & even).ranges == even.ranges
    assert (even & Spans([range(1, 2), range(7, 10**30)])).ranges == even.ranges[4:]


@given(spans, st.booleans())
def test_labels_and_spans_are_inverse(ranges: list[range], listed: bool) -> None:
    values = tuple(Value(label=f"v{n}", settings={}) for n in range(21))
    decimals = RangeAxis(name="lora_scale", first="-1.5", last="8.5", step="0.5")
    axis = Axis(name="x", values=values) if listed else decimals
    found = Spans(ranges)
    assert spans_of(axis, labels_of(axis, found)).ranges == found.ranges
