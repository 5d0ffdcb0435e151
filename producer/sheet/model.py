"""What a sheet is made of: the table that it shows, its text styles, its layout as data.

All lengths are pixels of the finished PNG, meant for a screen with two pixels a point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from common.batch import Cell


@dataclass(frozen=True)
class Style:
    """How a kind of text is set; `name` says what it is."""

    name: str
    size: int
    ink: str

    @property
    def leading(self) -> int:
        return round(self.size * 1.36)

    def times(self, factor: float) -> Style:
        return replace(self, size=round(self.size * factor))


TITLE = Style("title", 40, "#1d2024")
CONTEXT = Style("context", 26, "#1d2024")
FACTS = Style("facts", 22, "#6b6f76")
NOTE = Style("note", 22, "#8a5a00")
AXIS = Style("axis", 19, "#8b8f96")
HEAD = Style("head", 26, "#1d2024")
DETAIL = Style("detail", 22, "#5b6067")
PROSE = Style("head", 22, "#1d2024")
MISSING = Style("missing", 20, "#8b8f96")
FAILED = Style("failed", 22, "#a3321f")
REASON = Style("reason", 19, "#7a3a2e")
FOOTNOTE = Style("footnote", 20, "#7a3a2e")
MARK = Style("mark", 16, "#ffffff")


@dataclass(frozen=True)
class Box:
    """A rectangle; right and bottom are the first pixels outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def inset(self, by: int) -> Box:
        return Box(self.left + by, self.top + by, self.right - by, self.bottom - by)

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@dataclass(frozen=True)
class Heading:
    """One value of an axis over `count` rows or columns from `first`."""

    label: str
    details: tuple[str, ...]
    first: int
    count: int


@dataclass(frozen=True)
class Level:
    """All headings of one axis, in order."""

    axis: str
    headings: tuple[Heading, ...]


@dataclass(frozen=True)
class Table:
    """What a sheet shows. The outermost level comes first; an excluded cell is None."""

    rows: tuple[Level, ...]
    columns: tuple[Level, ...]
    cells: tuple[tuple[Cell | None, ...], ...]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cells), len(self.cells[0])

    def present(self) -> list[Cell]:
        return [cell for row in self.cells for cell in row if cell]


@dataclass(frozen=True)
class Caption:
    """`context` says which part of the batch this is, `facts` what all its cells share."""

    title: str
    context: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """Lines of text in one style, in `box`."""

    style: Style
    lines: tuple[str, ...]
    box: Box
    centred: bool = False

    @property
    def text(self) -> str:
        return "".join(self.lines)


Kind = Literal["picture", "failed", "missing", "excluded"]


@dataclass(frozen=True)
class Slot:
    """A cell's place. A picture smaller than `box` is centred in it."""

    row: int
    column: int
    i: int | None
    box: Box
    kind: Kind
    mark: str = ""


@dataclass(frozen=True)
class Layout:
    width: int
    height: int
    labels: tuple[Label, ...]
    slots: tuple[Slot, ...]
    rules: tuple[Box, ...]
