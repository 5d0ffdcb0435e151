"""Where values are on an axis: sets of positions, and the labels that conditions name them by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from common.batch.document import AnyAxis, Axis

_NUMBER = r"-?\d{1,30}(?:\.\d{1,15})?"
_SPAN = re.compile(rf"(?P<low>{_NUMBER})(?:\.\.(?P<high>{_NUMBER}))?")

#: Label → its positions.
Places = Mapping[str, Sequence[int]]


class Spans:
    """A set of positions, kept as the fewest `range`s of step 1, in order."""

    def __init__(self, ranges: Iterable[range]) -> None:
        self.ranges: list[range] = []
        for span in sorted(ranges, key=lambda span: span.start):
            if span and self.ranges and span.start <= self.ranges[-1].stop:
                last = self.ranges.pop()
                span = range(last.start, max(last.stop, span.stop))
            if span:
                self.ranges.append(span)

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[int]:
        return (position for span in self.ranges for position in span)

    def __and__(self, other: Spans) -> Spans:
        """The positions that are in both; in one pass over their ranges."""
        return Spans(_overlaps(self.ranges, other.ranges))

    def rest(self, length: int) -> Spans:
        """The positions below `length` that are not in here."""
        edges = [0, *(edge for span in self.ranges for edge in (span.start, span.stop)), length]
        return Spans(map(range, edges[::2], edges[1::2]))


def _overlaps(ours: Sequence[range], theirs: Sequence[range]) -> Iterator[range]:
    """Of two ordered lists of ranges: whichever ends first overlaps nothing further on."""
    mine = other = 0
    while mine < len(ours) and other < len(theirs):
        one, two = ours[mine], theirs[other]
        yield range(max(one.start, two.start), min(one.stop, two.stop))
        if one.stop < two.stop:
            mine += 1
        else:
            other += 1


def places_of(axis: AnyAxis) -> Places:
    """Label → its positions on an Axis; a RangeAxis counts instead."""
    places: dict[str, list[int]] = {}
    for at, label in enumerate(axis.labels() if isinstance(axis, Axis) else ()):
        places.setdefault(label, []).append(at)
    return places


def spans_of(axis: AnyAxis, labels: Iterable[str], places: Places | None = None) -> Spans:
    """Where on `axis` the labels are; on a RangeAxis `a..b` stands for those from a to b."""
    if isinstance(axis, Axis):
        places = places_of(axis) if places is None else places
        found = (at for label in labels for at in places.get(label, ()))
        return Spans(range(at, at + 1) for at in found)
    matches = (_SPAN.fullmatch(label) for label in labels)
    return Spans(axis.between(m["low"], m["high"] or m["low"]) for m in matches if m)


def labels_of(axis: AnyAxis, spans: Spans) -> tuple[str, ...]:
    """The inverse of `spans_of`."""
    if isinstance(axis, Axis):
        return tuple(axis.value(position).label for position in spans)
    ends = ((axis.value(span.start).label, axis.value(span[-1]).label) for span in spans.ranges)
    return tuple(first if first == last else f"{first}..{last}" for first, last in ends)
