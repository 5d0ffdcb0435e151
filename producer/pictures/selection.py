"""Some cells of a batch: those with the values that a person keeps of its axes.

Cells keep the numbers that they have in the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.batch import AnyAxis, Batch, Cell, Matrix
from common.errors import UsageError
from common.text import LISTED, closest
from producer.language import find_values

#: Axis → what its values must be (see `find_values`), or several such.
Where = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class ChosenAxis:
    """An axis with the positions that `where` left of it."""

    axis: AnyAxis
    stride: int
    positions: Sequence[int]

    @property
    def name(self) -> str:
        return self.axis.name

    @property
    def varies(self) -> bool:
        return len(self.positions) > 1


def choose(matrix: Matrix, where: Where) -> dict[str, ChosenAxis]:
    """Every axis by its name. Raises UsageError for an unknown axis or label in `where`."""
    known = [axis.name for axis in matrix.axes]
    for name in where:
        check_axis(name, known)
    return {
        axis.name: ChosenAxis(axis, stride, _positions(axis, where.get(axis.name), matrix.batch))
        for axis, stride in zip(matrix.axes, matrix.strides, strict=True)
    }


def chosen_cells(matrix: Matrix, where: Where) -> Iterator[Cell]:
    """The cells that `where` keeps and that are not excluded, in the batch's order. Nothing is
    listed, so a batch of a million cells costs what is taken of it. Raises UsageError."""
    axes = [*choose(matrix, where).values()]
    return (cell for i in _numbers(axes) if (cell := matrix[i]))


def offset_of(axes: Sequence[ChosenAxis], positions: Sequence[int]) -> int:
    """What these positions add to a cell's number."""
    return sum(axis.stride * position for axis, position in zip(axes, positions, strict=True))


def check_axis(name: str, known: Sequence[str]) -> None:
    """Raises UsageError for one that is not known."""
    if name not in known:
        raise UsageError(f"there is no axis {name!r}", hint=_suggestion(name, known))


def _numbers(axes: Sequence[ChosenAxis]) -> Iterator[int]:
    """The cells' numbers, row-major: the last axis moves fastest."""
    if not axes:
        yield 0
        return
    first, rest = axes[0], axes[1:]
    for position in first.positions:
        yield from (first.stride * position + below for below in _numbers(rest))


def _positions(axis: AnyAxis, written: str | Sequence[str] | None, batch: Batch) -> Sequence[int]:
    if written is None:
        return range(axis.count)
    texts = [written] if isinstance(written, str) else written
    return [*find_values(axis, texts, batch)]


def _suggestion(written: str, known: Sequence[str]) -> str:
    close = closest(written, known)
    guess = f"did you mean {close!r}? " if close else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    names = ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in known[:LISTED])
    return f"{guess}there are: {names}{more}" if known else "there are none"
