"""Which axes of a batch are the rows of a sheet, which its columns, and which are left over."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from common.errors import UsageError
from producer.pictures import ChosenAxis, known_axis

MOST_CELLS = 4_000
MOST_SHEETS = 100

#: The axes of the rows, or of the columns, the outermost first.
Side = list[ChosenAxis]


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
    meant = [known_axis(name.strip(), list(axes)) for name in names if name.strip()]
    return [axes[name] for name in dict.fromkeys(meant)]


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
