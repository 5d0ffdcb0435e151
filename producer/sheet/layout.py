"""The geometry of one sheet: where every label and every cell lies, as data. Draws nothing.

    caption            title, what the sheet holds constant, notes
    column headings    one level for each column axis, outer ones span inner ones
    row  ┌──────┐      one column of row headings for each row axis
    head │ cell │
         └──────┘
    footnotes          reasons too long for their cell

Text is never cut: a column of headings widens, then its type shrinks, then its rows grow. What is
large beside small pictures is their headings, so both sides give them the room that makes the
sheet smallest: the smaller the pictures, the smaller it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import ceil

from common.batch import Cell
from producer.pictures import Failed, FingerprintGroup, Outcome, shown_size
from producer.sheet.model import (
    AXIS,
    CONTEXT,
    DETAIL,
    FACTS,
    FAILED,
    FOOTNOTE,
    HEAD,
    MISSING,
    NOTE,
    PROSE,
    REASON,
    TITLE,
    Box,
    Caption,
    Kind,
    Label,
    Layout,
    Level,
    Slot,
    Style,
    Table,
)
from producer.sheet.typography import Typeface

MARGIN = 56
GUTTER = 24
#: Added to the gutter where the value of an outer axis changes.
GROUP_GAP = 20
HEAD_GAP = 28
PARAGRAPH_GAP = 8
#: A narrow table still leaves this width for the caption.
NARROWEST = 760
ANY_WIDTH = 10**6
BETWEEN_FACTS = "   ·   "
#: A longer label (a prompt without a name) is set as prose, in the size of a detail.
LONG_LABEL = 40
#: Columns widen to their headings, wrapped to the first of these with which they are no higher
#: than TEXT_ROOM, else to the last.
COLUMN_HEAD_TRIALS = (220, 350, 500)
#: Rows grow up to this for their heading before its type shrinks.
TEXT_ROOM = 240
#: Greatest width of a column of row headings, and the factor of its type, in this order.
ROW_HEAD_TRIALS = ((350, 1.0), (500, 1.0), (500, 0.86), (620, 0.72))
STATE_PADDING = 14
#: Narrower cells refer to a footnote for the reason of their failure.
REASON_ROOM = 140


def arrange(
    table: Table,
    caption: Caption,
    outcomes: Mapping[int, Outcome],
    marked: Sequence[FingerprintGroup],
    *,
    side: int,
    face: Typeface,
) -> Layout:
    """Lay a sheet out. Each picture is shown in a box of at most `side` × `side`."""
    widths, heights = _boxes(table, side)
    columns = _columns(table, widths, face)
    rows = Track(tuple(heights), _gaps(table.rows, len(heights)))
    heads = [_row_heads(level, rows, columns.total, face) for level in table.rows]
    rows = _grown(rows, heads)
    page = _Page(face, MARGIN + sum(head.width + HEAD_GAP for head in heads), columns)
    page.write_caption(caption)
    page.write_column_heads(table.columns)
    page.write_row_heads(heads, rows, alone=not table.columns)
    marks = {i: group.mark for group in marked for i in group.cells}
    page.place_cells(table, rows, (widths, heights), outcomes, marks)
    page.write_footnotes()
    return page.layout()


@dataclass(frozen=True)
class Track:
    """The sizes of all rows or of all columns, and the gap before each."""

    sizes: tuple[int, ...]
    gaps: tuple[int, ...]

    @cached_property
    def starts(self) -> list[int]:
        ends = accumulate(gap + size for gap, size in zip(self.gaps, self.sizes, strict=True))
        return [end - size for end, size in zip(ends, self.sizes, strict=True)]

    def span(self, first: int, count: int) -> int:
        last = first + count - 1
        return self.starts[last] + self.sizes[last] - self.starts[first]

    @property
    def total(self) -> int:
        return self.span(0, len(self.sizes))


@dataclass(frozen=True)
class Block:
    """Paragraphs of wrapped lines under one another, each with its style and width."""

    paragraphs: tuple[tuple[Style, tuple[str, ...], int], ...]

    @property
    def width(self) -> int:
        return max((width for *_, width in self.paragraphs), default=0)

    @property
    def height(self) -> int:
        lines = sum(style.leading * len(lines) for style, lines, _ in self.paragraphs)
        return lines + PARAGRAPH_GAP * max(0, len(self.paragraphs) - 1)

    def at(self, left: int, top: int) -> list[Label]:
        labels = []
        for style, lines, width in self.paragraphs:
            bottom = top + style.leading * len(lines)
            labels.append(Label(style, lines, Box(left, top, left + width, bottom)))
            top = bottom + PARAGRAPH_GAP
        return labels

    def centred_in(self, box: Box) -> list[Label]:
        labels = self.at(box.left, box.top + (box.height - self.height) // 2)
        middle = (box.left + box.right) // 2
        return [replace(label, box=_centred(label.box, middle), centred=True) for label in labels]


def block(face: Typeface, parts: Iterable[tuple[Style, str]], width: int) -> Block:
    """Set each text in its style, wrapped to `width`."""
    paragraphs = []
    for style, text in parts:
        lines = tuple(face.wrap(face.printable(text), style.size, width))
        longest = max(face.length(line.rstrip(), style.size) for line in lines)
        paragraphs.append((style, lines, ceil(longest)))
    return Block(tuple(paragraphs))


@dataclass(frozen=True)
class RowHeads:
    """The headings of one row axis, set in one width and one size of type."""

    level: Level
    blocks: tuple[Block, ...]
    width: int


class _Page:
    """A layout in the making: what is placed moves `bottom` down."""

    def __init__(self, face: Typeface, left: int, columns: Track) -> None:
        self.face = face
        self.left = left
        self.columns = columns
        self.width = max(left + columns.total + MARGIN, NARROWEST)
        self.bottom = MARGIN
        self.labels: list[Label] = []
        self.slots: list[Slot] = []
        self.rules: list[Box] = []
        self.footnotes: dict[str, int] = {}

    def layout(self) -> Layout:
        placed = (tuple(self.labels), tuple(self.slots), tuple(self.rules))
        return Layout(self.width, self.bottom + MARGIN, *placed)

    def write_caption(self, caption: Caption) -> None:
        room = self.width - 2 * MARGIN
        parts = [(TITLE, caption.title), *((CONTEXT, text) for text in caption.context)]
        if caption.facts:
            parts.append((FACTS, _flowed(self.face, caption.facts, FACTS.size, room)))
        parts += [(NOTE, text) for text in caption.notes]
        self._write(block(self.face, parts, room), MARGIN)
        self.bottom += 2 * HEAD_GAP

    def write_column_heads(self, levels: Sequence[Level]) -> None:
        for depth, level in enumerate(levels):
            self._write(self._axis_name(level), self.left)
            self.bottom += PARAGRAPH_GAP
            self._write_side_by_side(level, ruled=depth < len(levels) - 1)
            self.bottom += GUTTER

    def write_row_heads(self, heads: Sequence[RowHeads], rows: Track, *, alone: bool) -> None:
        """`alone`: no column headings are beside the names of the row axes."""
        if heads and alone:
            self.bottom += AXIS.leading
        left = MARGIN
        for column in heads:
            name = self._axis_name(column.level)
            self.labels += name.at(left, self.bottom - name.height - PARAGRAPH_GAP)
            for heading, text in zip(column.level.headings, column.blocks, strict=True):
                self.labels += text.at(left, self.bottom + rows.starts[heading.first])
            left += column.width + HEAD_GAP

    def place_cells(
        self,
        table: Table,
        rows: Track,
        boxes: tuple[Sequence[int], Sequence[int]],
        outcomes: Mapping[int, Outcome],
        marks: Mapping[int, str],
    ) -> None:
        """`boxes` are the widths and heights of the pictures' boxes, by column and by row."""
        for row, cells in enumerate(table.cells):
            top = self.bottom + rows.starts[row]
            for column, cell in enumerate(cells):
                left = self.left + self.columns.starts[column]
                box = Box(left, top, left + boxes[0][column], top + boxes[1][row])
                outcome = outcomes.get(cell.i) if cell else None
                mark = marks.get(cell.i, "") if cell else ""
                number = cell.i if cell else None
                slot = Slot(row, column, number, box, _kind(cell, outcome), mark)
                self.slots.append(slot)
                self._write_state(slot, outcome)
        self.bottom += rows.total

    def write_footnotes(self) -> None:
        if self.footnotes:
            self.bottom += 2 * HEAD_GAP
            notes = [(FOOTNOTE, f"[{number}] {why}") for why, number in self.footnotes.items()]
            self._write(block(self.face, notes, self.width - 2 * MARGIN), MARGIN)

    def _write(self, text: Block, left: int) -> None:
        self.labels += text.at(left, self.bottom)
        self.bottom += text.height

    def _axis_name(self, level: Level) -> Block:
        return block(self.face, [(AXIS, level.axis)], ANY_WIDTH)

    def _write_side_by_side(self, level: Level, *, ruled: bool) -> None:
        spans = [self.columns.span(heading.first, heading.count) for heading in level.headings]
        lefts = [self.left + self.columns.starts[heading.first] for heading in level.headings]
        texts = zip(heading_parts(level), spans, strict=True)
        blocks = [block(self.face, parts, span) for parts, span in texts]
        for left, text in zip(lefts, blocks, strict=True):
            self.labels += text.at(left, self.bottom)
        self.bottom += max(text.height for text in blocks)
        if ruled:
            self.bottom += PARAGRAPH_GAP
            for left, span in zip(lefts, spans, strict=True):
                self.rules.append(Box(left, self.bottom, left + span, self.bottom + 1))

    def _write_state(self, slot: Slot, outcome: Outcome) -> None:
        if slot.kind == "missing":
            self._write_inside(slot.box, [(MISSING, "not rendered yet")])
        if isinstance(outcome, Failed):
            self._write_failure(slot.box, outcome.reason)

    def _write_failure(self, box: Box, reason: str) -> None:
        whole = [(FAILED, "failed"), (REASON, reason)]
        if box.width < REASON_ROOM or not self._write_inside(box, whole):
            number = self.footnotes.setdefault(reason, len(self.footnotes) + 1)
            if not self._write_inside(box, [(FAILED, f"failed [{number}]")]):
                self._write_inside(box, [(REASON, f"[{number}]")])

    def _write_inside(self, box: Box, parts: Sequence[tuple[Style, str]]) -> bool:
        """Whether there was room, with no word of the first part broken."""
        inner = box.inset(min(STATE_PADDING, box.width // 8))
        style, first = parts[0]
        if _longest_word(self.face, first, style.size) > inner.width:
            return False
        text = block(self.face, parts, inner.width)
        if text.height <= inner.height:
            self.labels += text.centred_in(box)
        return text.height <= inner.height


def heading_parts(level: Level, factor: float = 1.0) -> list[list[tuple[Style, str]]]:
    """The styled texts of each heading; labels that are whole prompts are set as prose."""
    prose = any(len(heading.label) > LONG_LABEL for heading in level.headings)
    style = (PROSE if prose else HEAD).times(factor)
    detail = DETAIL.times(factor)
    return [
        [(style, heading.label), *((detail, text) for text in heading.details)]
        for heading in level.headings
    ]


def _row_heads(level: Level, rows: Track, beside: int, face: Typeface) -> RowHeads:
    """Of ROW_HEAD_TRIALS the first in the greatest type whose headings fit beside their rows, or
    a wider one with which the rows, `beside` pixels wide, take less of the sheet; else the last."""
    fitting: list[tuple[int, RowHeads]] = []
    for width, factor in ROW_HEAD_TRIALS:
        if fitting and factor < 1:
            break
        heads = _set_heads(level, width, factor, face)
        spans = [rows.span(heading.first, heading.count) for heading in level.headings]
        if all(b.height <= max(s, TEXT_ROOM) for b, s in zip(heads.blocks, spans, strict=True)):
            area = (heads.width + beside) * _grown(rows, [heads]).total
            fitting.append((area, heads))
    return min(fitting, key=lambda trial: trial[0])[1] if fitting else heads


def _set_heads(level: Level, width: int, factor: float, face: Typeface) -> RowHeads:
    name = block(face, [(AXIS, level.axis)], ANY_WIDTH).width
    blocks = tuple(block(face, parts, width) for parts in heading_parts(level, factor))
    return RowHeads(level, blocks, max(name, *(text.width for text in blocks)))


def _grown(rows: Track, heads: Sequence[RowHeads]) -> Track:
    """Rows high enough for their headings; the last row of a group makes up what lacks."""
    for column in reversed(heads):
        sizes = list(rows.sizes)
        for heading, text in zip(column.level.headings, column.blocks, strict=True):
            lacks = text.height - rows.span(heading.first, heading.count)
            sizes[heading.first + heading.count - 1] += max(0, lacks)
        rows = Track(tuple(sizes), rows.gaps)
    return rows


def _boxes(table: Table, side: int) -> tuple[list[int], list[int]]:
    """The widths of the pictures' boxes by column, and their heights by row."""
    widths, heights = [1] * len(table.cells[0]), [1] * len(table.cells)
    for row, cells in enumerate(table.cells):
        for column, cell in enumerate(cells):
            if cell:
                width, height = shown_size(cell.job.width, cell.job.height, side)
                widths[column] = max(widths[column], width)
                heights[row] = max(heights[row], height)
    return widths, heights


def _columns(table: Table, widths: Sequence[int], face: Typeface) -> Track:
    """Columns as wide as their boxes, or as their innermost headings need."""
    sizes = list(widths)
    for level in table.columns[-1:]:
        for heading, parts in zip(level.headings, heading_parts(level), strict=True):
            sizes[heading.first] = max(sizes[heading.first], _head_width(parts, face))
    return Track(tuple(sizes), _gaps(table.columns, len(sizes)))


def _head_width(parts: Sequence[tuple[Style, str]], face: Typeface) -> int:
    """However narrow the pictures: a heading on many lines would make a high sheet of them."""
    for width in COLUMN_HEAD_TRIALS:
        text = block(face, parts, width)
        if text.height <= TEXT_ROOM:
            break
    return text.width


def _gaps(levels: Sequence[Level], count: int) -> tuple[int, ...]:
    groups = {heading.first for level in levels[:-1] for heading in level.headings}
    return (0, *(GUTTER + GROUP_GAP * (at in groups) for at in range(1, count)))


def _longest_word(face: Typeface, text: str, size: int) -> float:
    return max((face.length(word, size) for word in face.printable(text).split()), default=0.0)


def _flowed(face: Typeface, facts: Sequence[str], size: int, width: int) -> str:
    """Facts side by side, a new line before one that does not fit whole."""
    text = facts[0]
    for fact in facts[1:]:
        line = f"{text.rpartition(chr(10))[2]}{BETWEEN_FACTS}{fact}"
        fits = face.length(face.printable(line), size) <= width
        text += f"{BETWEEN_FACTS if fits else chr(10)}{fact}"
    return text


def _centred(box: Box, middle: int) -> Box:
    left = middle - box.width // 2
    return Box(left, box.top, left + box.width, box.bottom)


def _kind(cell: Cell | None, outcome: Outcome) -> Kind:
    if cell is None:
        return "excluded"
    if outcome is None:
        return "missing"
    return "failed" if isinstance(outcome, Failed) else "picture"
