"""`exclude` and `only` of a frozen batch: which cells are kept, asked or counted, never listed.

Each condition has a bit. Along each axis, stretches of positions that no condition tells apart
carry the bits of the conditions they match; a cell matches the conditions whose bit all of its
positions carry.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise, starmap
from operator import xor

from common.batch.document import Axis, RangeAxis
from common.errors import GridfarmError

Entry = Mapping[str, tuple[str, ...]]

#: What counting may remember and take before it is given up: seconds of work.
MAX_COUNTED, MAX_STEPS = 100_000, 5_000_000

#: Of the stretches of all conditions on one axis: 256 MB.
MAX_BITS = 1 << 31

_NUMBER = r"-?\d{1,30}(?:\.\d{1,15})?"
_SPAN = re.compile(rf"(?P<low>{_NUMBER})(?:\.\.(?P<high>{_NUMBER}))?")


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

    def rest(self, length: int) -> Spans:
        """The positions below `length` that are not in here."""
        edges = [0, *(edge for span in self.ranges for edge in (span.start, span.stop)), length]
        return Spans(map(range, edges[::2], edges[1::2]))


Places = Mapping[str, Sequence[int]]


def places_of(axis: Axis | RangeAxis) -> Places:
    """Label → its positions on an Axis; a RangeAxis counts instead."""
    places: dict[str, list[int]] = {}
    for at, label in enumerate(axis.labels() if isinstance(axis, Axis) else ()):
        places.setdefault(label, []).append(at)
    return places


def spans_of(axis: Axis | RangeAxis, labels: Iterable[str], places: Places | None = None) -> Spans:
    """Where on `axis` the labels are; on a RangeAxis `a..b` stands for those from a to b."""
    if isinstance(axis, Axis):
        places = places_of(axis) if places is None else places
        found = (at for label in labels for at in places.get(label, ()))
        return Spans(range(at, at + 1) for at in found)
    matches = (_SPAN.fullmatch(label) for label in labels)
    return Spans(axis.between(m["low"], m["high"] or m["low"]) for m in matches if m)


def labels_of(axis: Axis | RangeAxis, spans: Spans) -> tuple[str, ...]:
    """The inverse of `spans_of`."""
    if isinstance(axis, Axis):
        return tuple(axis.value(position).label for position in spans)
    ends = ((axis.value(span.start).label, axis.value(span[-1]).label) for span in spans.ranges)
    return tuple(first if first == last else f"{first}..{last}" for first, last in ends)


class Filter:
    """Which cells `exclude` and `only` keep. Raises GridfarmError for an axis there is not."""

    def __init__(
        self, exclude: Sequence[Entry], only: Sequence[Entry], axes: Sequence[Axis | RangeAxis]
    ) -> None:
        entries = [*exclude, *only]
        self._excluded = (1 << len(exclude)) - 1
        self._wanted = (1 << len(entries)) - 1 ^ self._excluded
        # Carried by a cell that one of `only` matches, whatever its further positions.
        self._matched = 1 << len(entries)
        places = {axis.name: at for at, axis in enumerate(axes)}
        # The conditions whose last axis it is.
        self._decided = [0] * len(axes)
        for bit, entry in enumerate(entries):
            if entry:
                self._decided[max(_place(name, places) for name in entry)] |= 1 << bit
        self._marks = [_Marks(axis, entries) for axis in axes]
        self._counted: dict[tuple[int, int], int] = {}
        self._steps = 0

    def keeps(self, positions: Sequence[int]) -> bool:
        """Whether the cell at these positions, one per axis, is kept."""
        bits = self._excluded | self._wanted
        for marks, position in zip(self._marks, positions, strict=True):
            bits &= marks.at(position)
        return self._kept(bits)

    def count(self) -> int:
        """How many cells are kept. Raises GridfarmError where that takes more than seconds."""
        return self._below(0, self._excluded | self._wanted)

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Those of every kept cell, in order; stretches without one are passed over."""
        return self._walk(0, self._excluded | self._wanted)

    def _kept(self, bits: int) -> bool:
        wanted = self._wanted | self._matched
        return not bits & self._excluded and (not self._wanted or bool(bits & wanted))

    def _below(self, axis: int, bits: int) -> int:
        """How many cells are kept, counting from `axis` on, whose earlier positions carry
        `bits`: axis by axis, and once for all positions that carry the same."""
        if axis == len(self._marks):
            return int(self._kept(bits))
        found = self._counted.get((axis, bits))
        if found is None:
            classes = self._marks[axis].classes
            self._spend(len(classes))
            each = ((many, self._behind(axis, bits & others)) for others, many in classes.items())
            found = self._counted[axis, bits] = sum(many * behind for many, behind in each)
        return found

    def _behind(self, axis: int, bits: int) -> int:
        left = self._left(axis, bits)
        return 0 if left is None else self._below(axis + 1, left)

    def _left(self, axis: int, bits: int) -> int | None:
        """The bits that still matter behind `axis`; None where no cell is kept any more."""
        decided = bits & self._decided[axis]
        if decided & self._excluded:
            return None
        if decided & self._wanted:
            return bits & self._excluded | self._matched
        return bits if not self._wanted or bits & (self._wanted | self._matched) else None

    def _walk(self, axis: int, bits: int) -> Iterator[tuple[int, ...]]:
        if axis == len(self._marks):
            yield ()
            return
        for stretch, others in self._marks[axis].stretches():
            left = self._left(axis, bits & others)
            if left is not None and self._below(axis + 1, left):
                for position in stretch:
                    yield from ((position, *rest) for rest in self._walk(axis + 1, left))

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS or len(self._counted) > MAX_COUNTED:
            raise _too_many()


class _Marks:
    """One axis in stretches, each with the bits of the conditions that it matches."""

    def __init__(self, axis: Axis | RangeAxis, entries: Sequence[Entry]) -> None:
        places = places_of(axis)
        if isinstance(axis, RangeAxis):  # whose labels are stretches already
            _check_bits(sum(len(entry.get(axis.name, ())) for entry in entries), len(entries))
        spans = {
            bit: spans_of(axis, entry[axis.name], places)
            for bit, entry in enumerate(entries)
            if axis.name in entry
        }
        _check_bits(sum(len(found.ranges) for found in spans.values()), len(entries))
        everywhere = (1 << len(entries) + 1) - 1
        turns = {0: everywhere ^ sum(1 << bit for bit in spans)}
        for bit, found in spans.items():
            for span in found.ranges:
                for edge in (span.start, span.stop):
                    turns[edge] = turns.get(edge, 0) ^ 1 << bit
        turns.pop(axis.__len__(), None)
        self._starts = sorted(turns)
        self._bits: list[int] = [*accumulate((turns[start] for start in self._starts), xor)]
        self._length = axis.__len__()
        self.classes: Counter[int] = Counter()
        for stretch, bits in self.stretches():
            self.classes[bits] += len(stretch)

    def stretches(self) -> Iterator[tuple[range, int]]:
        """The axis in order: positions that carry the same bits, and those."""
        edges = pairwise([*self._starts, self._length])
        return zip(starmap(range, edges), self._bits, strict=True)

    def at(self, position: int) -> int:
        return self._bits[bisect_right(self._starts, position) - 1]


def _check_bits(stretches: int, conditions: int) -> None:
    if stretches * conditions > MAX_BITS:
        raise _too_many()


def _too_many() -> GridfarmError:
    return GridfarmError(
        "exclude and only overlap in too many ways to count the cells they leave",
        hint="write fewer conditions, or conditions on fewer axes",
    )


def _place(name: str, places: Mapping[str, int]) -> int:
    if name not in places:
        raise GridfarmError(
            f"a condition names the axis {name!r}, which the batch has not",
            hint="the batch document is damaged; submit the batch file again",
        )
    return places[name]
