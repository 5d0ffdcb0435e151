"""Which axes of a batch are the rows of a sheet, which its columns, and which are left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from common.batch import Axis, Batch, Matrix, RangeAxis
from common.errors import UsageError
from common.text import LISTED, closest
from producer.trial import find_values

MOST_CELLS = 4_000
MOST_SHEETS = 100

#: Axis → what its values must be (see `producer.trial.where`), or several such.
Where = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class ChosenAxis:
    """An axis with the positions that `where` left of it."""

    axis: Axis | RangeAxis
    stride: int
    positions: Sequence[int]

    @property
    def name(self) -> str:
        return self.axis.name

    @property
    def varies(self) -> bool:
        return len(self.positions) > 1


#: The axes of the rows, or of the columns, the outermost first.
Side = list[ChosenAxis]


def choose(matrix: Matrix, where: Where) -> dict[str, ChosenAxis]:
    """Every axis by its name. Raises UsageError for an unknown axis or label in `where`."""
    known = [axis.name for axis in matrix.axes]
    for name in where:
        _check_axis(name, known)
    return {
        axis.name: ChosenAxis(axis, stride, _positions(axis, where.get(axis.name), matrix.batch))
        for axis, stride in zip(matrix.axes, matrix.strides, strict=True)
    }


def _positions(
    axis: Axis | RangeAxis, written: str | Sequence[str] | None, batch: Batch
) -> Sequence[int]:
    if written is None:
        return range(axis.count)
    texts = [written] if isinstance(written, str) else written
    return [*find_values(axis, texts, batch)]


def _check_axis(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(f"there is no axis {name!r}", hint=_suggestion(name, known))


def _suggestion(written: str, known: Sequence[str]) -> str:
    close = closest(written, known)
    guess = f"did you mean {close!r}? " if close else ""
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    names = ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in known[:LISTED])
    return f"{guess}there are: {names}{more}" if known else "there are none"


def sides(
    axes: dict[str, ChosenAxis],
    rows: str | Sequence[str] | None,
    columns: str | Sequence[str] | None,
) -> tuple[Side, Side]:
    """The axes of the rows and of the columns. By default the columns are the variants, else
    the last axis that varies; the rows are the prompts, else the largest axis that is left."""
    row_axes = None if rows is None else _named(axes, rows)
    column_axes = None if columns is None else _named(axes, columns)
    if column_axes is None:
        free = [axis for axis in axes.values() if axis not in (row_axes or ())]
        column_axes = _default_columns(free) or (_default_rows(free) if row_axes else [])
    if row_axes is None:
        row_axes = _default_rows([a for a in axes.values() if a not in column_axes])
    twice = [axis.name for axis in row_axes if axis in column_axes]
    if twice:
        raise UsageError(f"{twice[0]} is named in the rows and in the columns", hint="name it once")
    return row_axes, column_axes


def _named(axes: dict[str, ChosenAxis], written: str | Sequence[str]) -> Side:
    names = written.split(",") if isinstance(written, str) else written
    names = [name.strip() for name in names if name.strip()]
    for name in names:
        _check_axis(name, list(axes))
    return [axes[name] for name in dict.fromkeys(names)]


def _default_columns(free: Side) -> Side:
    varying = [axis for axis in free if axis.varies and axis.name != "prompt"]
    variant = [axis for axis in varying if axis.name == "variant"]
    return variant or varying[-1:]


def _default_rows(free: Side) -> Side:
    varying = [axis for axis in free if axis.varies]
    prompt = [axis for axis in varying if axis.name == "prompt"]
    return prompt or sorted(varying, key=lambda axis: -len(axis.positions))[:1]


def check_counts(axes: dict[str, ChosenAxis], rows: Side, columns: Side, others: Side) -> None:
    """Raise UsageError for more than anybody can look at; nothing is enumerated for it."""
    cells = prod(len(axis.positions) for axis in (*rows, *columns))
    sheets = prod(len(axis.positions) for axis in others)
    what = f"{cells:,} cells on a sheet" if cells > MOST_CELLS else f"{sheets:,} sheets"
    if cells > MOST_CELLS or sheets > MOST_SHEETS:
        counts = ", ".join(f"{axis.name} {len(axis.positions):,}" for axis in axes.values())
        raise UsageError(
            f"{what} are too many (at most {MOST_CELLS:,} cells and {MOST_SHEETS} sheets)",
            hint=f"choose with --rows, --columns and --where among the axes: {counts}",
        )


def offset_of(axes: Side, positions: Sequence[int]) -> int:
    """What these positions add to a cell's number."""
    return sum(axis.stride * position for axis, position in zip(axes, positions, strict=True))
