"""A layout and the pictures of its cells → one image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from producer.pictures import Outcome, Picture
from producer.sheet.model import FAILED, MARK, Box, Label, Layout, Slot
from producer.sheet.typography import Typeface

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAPER = "#fafaf8"
RULE = "#d9d9d4"
MISSING_FILL, MISSING_EDGE = "#f1f1ed", "#b9bac0"
FAILED_FILL, FAILED_EDGE = "#fbebe7", FAILED.ink
EXCLUDED_DASH = "#c6c7cb"
MARK_FILL = "#c77f00"
MARK_RADIUS = 11
DASH = 10
#: Brightness, of 255, from which a pixel melts into the paper; and how much of a picture's side
#: may do so before the picture gets a hairline around it.
PALE, PALE_PART = 235, 0.1


def paint(layout: Layout, outcomes: Mapping[int, Outcome], face: Typeface) -> Image:
    """Draw the sheet; `outcomes` holds the pictures in the size in which they are shown."""
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (layout.width, layout.height), PAPER)
    on = ImageDraw.Draw(sheet)
    for rule in layout.rules:
        on.rectangle(_inside(rule), fill=RULE)
    for slot in layout.slots:
        _paint_slot(sheet, on, slot, outcomes.get(slot.i) if slot.i is not None else None, face)
    for label in layout.labels:
        _write(on, label, face)
    return sheet


def _paint_slot(sheet: Image, on: ImageDraw, slot: Slot, outcome: Outcome, face: Typeface) -> None:
    if isinstance(outcome, Picture):
        _paste(sheet, on, outcome.image, slot.box)
        if slot.mark:
            _paint_mark(on, slot, face)
    elif slot.kind == "failed":
        on.rectangle(_inside(slot.box), fill=FAILED_FILL, outline=FAILED_EDGE, width=2)
    elif slot.kind == "missing":
        on.rectangle(_inside(slot.box), fill=MISSING_FILL)
        for dash in _dashes(slot.box):
            on.rectangle(_inside(dash), fill=MISSING_EDGE)
    else:
        on.rectangle(_inside(_dash_in(slot.box)), fill=EXCLUDED_DASH)


def _paste(sheet: Image, on: ImageDraw, picture: Image, box: Box) -> None:
    left = box.left + (box.width - picture.width) // 2
    top = box.top + (box.height - picture.height) // 2
    sheet.paste(picture, (left, top))
    if _is_pale(picture):
        around = Box(left, top, left + picture.width, top + picture.height).inset(-1)
        on.rectangle(_inside(around), outline=RULE)


def _is_pale(picture: Image) -> bool:
    """Whether one of its edges, for a part that can be seen, is hardly told from the paper."""
    right, bottom = picture.size
    sides = ((0, 0, right, 1), (0, bottom - 1, right, bottom),
             (0, 0, 1, bottom), (right - 1, 0, right, bottom))  # fmt: skip
    edges = (picture.crop(side).convert("L") for side in sides)
    return any(
        sum(edge.histogram()[PALE:]) > PALE_PART * edge.width * edge.height for edge in edges
    )


def _paint_mark(on: ImageDraw, slot: Slot, face: Typeface) -> None:
    """A frame and a letter beside the picture; no pixel of it is covered."""
    box = slot.box
    on.rectangle(_inside(box.inset(-4)), outline=MARK_FILL, width=2)
    x, y = box.right + 1 + MARK_RADIUS, box.top + MARK_RADIUS - 4
    on.ellipse((x - MARK_RADIUS, y - MARK_RADIUS, x + MARK_RADIUS, y + MARK_RADIUS), MARK_FILL)
    width = face.length(slot.mark, MARK.size)
    face.draw(on, (round(x - width / 2 + 0.5), y + 6), slot.mark, MARK.size, MARK.ink)


def _write(on: ImageDraw, label: Label, face: Typeface) -> None:
    style, box = label.style, label.box
    for number, line in enumerate(label.lines):
        left = box.left
        if label.centred:
            left += round((box.width - face.length(line.rstrip(), style.size)) / 2)
        baseline = box.top + number * style.leading + round(style.size * 1.02)
        face.draw(on, (left, baseline), line, style.size, style.ink)


def _dash_in(box: Box) -> Box:
    """A short stroke in the middle, as tables have it where there is nothing to say."""
    x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
    half = min(16, box.width // 4)
    return Box(x - half, y - 1, x + half, y + 2)


def _dashes(box: Box) -> Iterator[Box]:
    """The edge of `box` as dashes two pixels thick."""
    for x in range(box.left, box.right, 2 * DASH):
        end = min(x + DASH, box.right)
        yield from (Box(x, box.top, end, box.top + 2), Box(x, box.bottom - 2, end, box.bottom))
    for y in range(box.top, box.bottom, 2 * DASH):
        end = min(y + DASH, box.bottom)
        yield from (Box(box.left, y, box.left + 2, end), Box(box.right - 2, y, box.right, end))


def _inside(box: Box) -> tuple[int, int, int, int]:
    """Pillow's rectangles include their last pixel."""
    return box.left, box.top, box.right - 1, box.bottom - 1
