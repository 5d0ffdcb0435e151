"""Some cells of a batch: those with the values that a person keeps of its axes.

Cells keep the numbers that they have in the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.batch import AnyAxis, Batch, Cell, Matrix
from common.errors import UsageError
from common.text import LISTED, closest
from producer.language import find_axis, find_values

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
    kept = by_axis(where, [axis.name for axis in matrix.axes])
    return {
        axis.name: ChosenAxis(axis, stride, _positions(axis, kept.get(axis.name), matrix.batch))
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


def known_axis(written: str, known: Sequence[str]) -> str:
    """The axis that is meant (see `find_axis`). Raises UsageError where there is none."""
    name = find_axis(written, known)
    if name is None:
        raise UsageError(f"there is no axis {written!r}", hint=_suggestion(written, known))
    return name


def _numbers(axes: Sequence[ChosenAxis]) -> Iterator[int]:
    """The cells' numbers, row-major: the last axis moves fastest."""
    if not axes:
        yield 0
        return
    first, rest = axes[0], axes[1:]
    for position in first.positions:
        yield from (first.stride * position + below for below in _numbers(rest))


def by_axis(where: Where, known: Sequence[str]) -> dict[str, list[str]]:
    """What is kept of each axis, under its name. Raises UsageError for an unknown axis."""
    kept: dict[str, list[str]] = {}
    for written, values in where.items():
        texts = [values] if isinstance(values, str) else values
        kept.setdefault(known_axis(written, known), []).extend(texts)
    return kept


def _positions(axis: AnyAxis, written: Sequence[str] | None, batch: Batch) -> Sequence[int]:
    return range(axis.count) if written is None else [*find_values(axis, written, batch)]


def _suggestion(written: str, known: Sequence[str]) -> str:
    close = closest(written, known)
    guess = f"did you mean {close!r}? " if close else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    names = ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in known[:LISTED])
    return f"{guess}there are: {names}{more}" if known else "there are none"
