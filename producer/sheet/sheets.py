"""Stored pictures → labelled sheets: which axis goes where, one sheet after the other.

Rows and columns are each one axis or several joined. Axes with one value go into the caption;
every combination of what is left over is a sheet of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

from common.batch import Cell, Matrix, Value, names_in
from common.dispatch import read_failures
from common.errors import UsageError
from common.store import Store
from producer.language import written_where
from producer.pictures import (
    Failed,
    Lookup,
    Outcome,
    SheetRecipe,
    Where,
    by_axis,
    choose,
    load_outcomes,
    odd_fingerprints,
    offset_of,
    read_flaws,
    store_lookup,
)
from producer.sheet.arrangement import Side, check_counts, sides
from producer.sheet.caption import (
    NO_FONT,
    SHARED,
    context,
    contrasted,
    details,
    facts,
    notes,
    shared,
)
from producer.sheet.layout import arrange
from producer.sheet.model import Caption, Heading, Layout, Level, Table
from producer.sheet.paint import paint
from producer.sheet.typography import Typeface, typeface

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 20_000
#: Above this Pillow takes a file for a decompression bomb, and viewers give up.
MOST_PIXELS = 178_000_000
SMALLEST_CELL = 16


class SheetTooLarge(UsageError):
    """A sheet that few programs could open."""


@dataclass(frozen=True)
class Sheet:
    """One grid, not drawn yet. `labels` tell it from the other sheets of the same batch."""

    table: Table
    caption: Caption
    labels: tuple[str, ...]
    side: int
    lookup: Lookup
    #: What its PNG says of itself; None of a batch that is in no store.
    recipe: SheetRecipe | None = None

    def draw(self) -> tuple[Image, Layout]:
        """Look every cell up and draw the sheet. Raises StoreError, and SheetTooLarge if
        reasons of failures make it so."""
        cells = self.table.present()
        outcomes = load_outcomes(cells, self.lookup, self.side)
        marked = odd_fingerprints(outcomes)
        caption = replace(self.caption, notes=notes(len(cells), outcomes, marked))
        face = _typeface(self.table, caption, outcomes)
        if any(map(face.escapes, _texts(self.table, caption, outcomes))):
            caption = replace(caption, notes=(*caption.notes, NO_FONT))
        layout = arrange(self.table, caption, outcomes, marked, side=self.side, face=face)
        check_size(layout)
        return paint(layout, outcomes, face), layout

    def check(self) -> None:
        """Raise UsageError if the sheet would be too large, before anything is looked up."""
        face = _typeface(self.table, self.caption, {})
        check_size(arrange(self.table, self.caption, {}, (), side=self.side, face=face))


def sheets_of_batch(matrix: Matrix, batch_id: str, store: Store, **options: Any) -> list[Sheet]:
    """`make_sheets` with what the store has of the batch: pictures, why cells failed, and what was
    found wrong with their pictures."""
    cells = len(matrix)
    failures = read_flaws(store, batch_id, cells) | read_failures(store, batch_id, cells)
    reasons = {cell.key: reason for i, reason in failures.items() if (cell := matrix[i])}
    return make_sheets(matrix, store_lookup(store, reasons, batch_id), batch_id=batch_id, **options)


def make_sheets(
    matrix: Matrix,
    lookup: Lookup,
    *,
    rows: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    where: Where | None = None,
    cell_size: int | None = None,
    title: str | None = None,
    batch_id: str = "",
) -> list[Sheet]:
    """The sheets of a batch, in the order of the left-over axes' values.

    `rows` and `columns` name axes (`"prompt"`, `"prompt,seed"`, `""` for none), `where` keeps
    the given labels of an axis, `cell_size` is the longest side of a picture on the sheet in
    pixels; with `batch_id` the sheets know how they are drawn again. Raises UsageError for an
    unknown axis or label and for a sheet too large to draw.
    """
    axes = choose(matrix, where or {})
    row_axes, column_axes = sides(axes, rows, columns)
    others = [axis for axis in axes.values() if axis not in (*row_axes, *column_axes)]
    check_counts(axes, row_axes, column_axes, others)
    kept = by_axis(where or {}, list(axes))
    drawn = batch_id and SheetRecipe(
        batch=batch_id,
        rows=tuple(axis.name for axis in row_axes),
        columns=tuple(axis.name for axis in column_axes),
        cell_size=cell_size,
    )
    sheets = []
    for at in product(*(axis.positions for axis in others)):
        table = _table(matrix, row_axes, column_axes, offset_of(others, at))
        if table is not None:
            values = {axis.name: axis.axis.value(p) for axis, p in zip(others, at, strict=True)}
            sheet = _sheet(table, values, others, lookup, cell_size, title or matrix.batch.name)
            # Of what makes several sheets, each is drawn again with its own values.
            own = zip((a.name for a in others if a.varies), sheet.labels, strict=True)
            told = {
                "where": written_where(kept | {name: [label] for name, label in own}),
                "settings": shared(table.present()),
            }
            recipe = drawn.model_copy(update=told) if drawn else None
            sheets.append(replace(sheet, recipe=recipe))
    if not sheets:
        raise UsageError("every cell of the sheet is excluded", hint="choose others with --where")
    return sheets


def _table(matrix: Matrix, rows: Side, columns: Side, offset: int) -> Table | None:
    """The table of one sheet without rows and columns that are excluded whole; None if that
    leaves nothing."""
    row_keys = list(product(*(axis.positions for axis in rows)))
    column_keys = list(product(*(axis.positions for axis in columns)))
    cells = [
        [matrix[offset + offset_of(rows, r) + offset_of(columns, c)] for c in column_keys]
        for r in row_keys
    ]
    kept_rows = [at for at, row in enumerate(cells) if any(row)]
    kept_columns = [at for at in range(len(column_keys)) if any(row[at] for row in cells)]
    if not kept_rows:
        return None
    shown = [tuple(cells[row][column] for column in kept_columns) for row in kept_rows]
    present = [cell for row in shown for cell in row if cell]
    return Table(
        tuple(_levels(rows, [row_keys[at] for at in kept_rows], present)),
        tuple(_levels(columns, [column_keys[at] for at in kept_columns], present)),
        tuple(shown),
    )


def _levels(axes: Side, keys: Sequence[tuple[int, ...]], cells: Sequence[Cell]) -> Iterator[Level]:
    """One level for each axis; neighbours that agree up to it share a heading."""
    for depth, axis in enumerate(axes):
        prefixes = [key[: depth + 1] for key in keys]
        groups = [list(group) for _, group in groupby(range(len(keys)), prefixes.__getitem__)]
        values = {key[depth]: axis.axis.value(key[depth]) for key in keys}
        told = contrasted(axis.axis, values, cells)
        headings = (
            Heading(told[at].label, details(axis.name, told[at]), group[0], len(group))
            for group in groups
            for at in [keys[group[0]][depth]]
        )
        yield Level(axis.name, tuple(headings))


def _sheet(
    table: Table,
    values: Mapping[str, Value],
    others: Side,
    lookup: Lookup,
    cell_size: int | None,
    title: str,
) -> Sheet:
    cells = table.present()
    telling = {name: value for name, value in values.items() if _tells(name, value)}
    left_over = {axis.name for axis in others if axis.varies}
    shown = {name: value for name, value in values.items() if name in left_over} | telling
    told = {name for value in shown.values() for name in value.settings}
    excluded = prod(table.shape) - len(cells)
    caption = Caption(title, context(shown, cells), facts(cells, told, excluded))
    labels = tuple(values[axis.name].label for axis in others if axis.varies)
    sheet = Sheet(table, caption, labels, _side(table, cell_size), lookup)
    sheet.check()
    return sheet


def _tells(axis: str, value: Value) -> bool:
    """Whether the label of an only value says more than the setting does by itself, or than
    the cells do: a prompt with words is another one in each."""
    if axis == "prompt" and names_in(str(value.settings.get("prompt", ""))):
        return True
    if axis not in ("prompt", *SHARED) or value.settings.keys() != {axis}:
        return True
    return bool(details(axis, value))


def _side(table: Table, cell_size: int | None) -> int:
    """The longest side of a picture: large on a small sheet, and no sheet becomes unwieldy."""
    if cell_size is not None and cell_size < SMALLEST_CELL:
        raise UsageError(
            f"cells of {cell_size} pixels are too small", hint=f"{SMALLEST_CELL} or more"
        )
    rows, columns = table.shape
    comfortable = min(1024, max(480, 1440 // columns))
    bearable = min(12_000 // max(rows, columns), isqrt(100_000_000 // (rows * columns)))
    return cell_size or max(SMALLEST_CELL, min(comfortable, bearable))


def check_size(layout: Layout) -> None:
    """Raises SheetTooLarge."""
    width, height = layout.width, layout.height
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise SheetTooLarge(
            f"the sheet would be {width:,} × {height:,} pixels (at most {LONGEST_SIDE:,} a side"
            f" and {MOST_PIXELS // 10**6} million)",
            hint="choose with --rows, --columns and --where, or a smaller --cell-size",
        )


def _typeface(table: Table, caption: Caption, outcomes: Mapping[int, Outcome]) -> Typeface:
    return typeface(_texts(table, caption, outcomes))


def _texts(table: Table, caption: Caption, outcomes: Mapping[int, Outcome]) -> list[str]:
    headings = [h for level in (*table.rows, *table.columns) for h in level.headings]
    texts = [caption.title, *caption.context, *caption.facts, *caption.notes]
    texts += [text for heading in headings for text in (heading.label, *heading.details)]
    texts += [level.axis for level in (*table.rows, *table.columns)]
    return texts + [o.reason for o in outcomes.values() if isinstance(o, Failed)]
