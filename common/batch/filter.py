"""`exclude` and `only` of a frozen batch: which cells are kept, asked or counted, never listed.

Each condition has a bit. Along each axis, stretches of positions that no condition tells apart
carry the bits of the conditions they match; a cell matches the conditions whose bit all of its
positions carry.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise, starmap
from operator import xor

from common.batch.document import AnyAxis, RangeAxis
from common.batch.spans import places_of, spans_of
from common.errors import GridfarmError

Entry = Mapping[str, tuple[str, ...]]

#: What counting may remember and take before it is given up: seconds of work.
MAX_COUNTED, MAX_STEPS = 100_000, 5_000_000

#: Of the stretches of all conditions on one axis: 256 MB.
MAX_BITS = 1 << 31


class Filter:
    """Which cells `exclude` and `only` keep. Raises GridfarmError for an axis there is not."""

    def __init__(
        self, exclude: Sequence[Entry], only: Sequence[Entry], axes: Sequence[AnyAxis]
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

    def __init__(self, axis: AnyAxis, entries: Sequence[Entry]) -> None:
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
        turns.pop(axis.count, None)
        self._starts = sorted(turns)
        self._bits: list[int] = [*accumulate((turns[start] for start in self._starts), xor)]
        self._length = axis.count
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
