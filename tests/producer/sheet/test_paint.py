"""Pixels: each picture in its place, at its size, and what is no picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.batch import Cell
from producer.pictures import Outcome, Picture, shown_size
from producer.sheet.paint import PAPER, RULE
from tests.support.sheets import (
    L4,
    Case,
    article,
    at,
    axis,
    colour,
    draw,
    every_sheet,
    inside,
    matrix,
    mixed,
    one_sheet,
    painted,
    texts,
)


@every_sheet
def test_all_ink_lies_in_the_boxes_of_labels_and_cells(case: Case) -> None:
    """What is drawn outside of them would be cut off by, or cover, something else."""
    cells, lookup, choice = case
    image, layout = draw(cells, lookup, **choice)
    paper = np.array(Image.new("RGB", (1, 1), PAPER))[0, 0]
    ink = (np.asarray(image) != paper).any(axis=2)
    for box in (*(slot.box for slot in layout.slots), *layout.rules):
        ink[box.top : box.bottom, box.left : box.right] = False
    for label in layout.labels:
        box = label.box.inset(-2)  # a glyph's side bearing
        ink[max(box.top, 0) : box.bottom, max(box.left, 0) : box.right] = False
    assert not ink.any()


@every_sheet
def test_each_picture_is_in_its_place(case: Case) -> None:
    cells, lookup, choice = case
    sheet = one_sheet(cells, lookup, **choice)
    image, layout = sheet.draw()
    for slot in layout.slots:
        cell = sheet.table.cells[slot.row][slot.column]
        assert cell is not None and slot.i == cell.i
        if isinstance(lookup(cell), Picture):
            middle = ((slot.box.left + slot.box.right) // 2, (slot.box.top + slot.box.bottom) // 2)
            assert image.getpixel(middle) == colour(cell)


def test_missing_failed_and_excluded_cells_can_be_told_apart() -> None:
    """Given one of each, their boxes differ in colour, and only two of them hold words."""
    cells = article(exclude=({"prompt": ("front-page",), "variant": ("wrong-lora",)},))
    image, layout = draw(cells, mixed)
    kinds = {slot.i: slot.kind for slot in layout.slots}
    assert kinds[0] == "picture" and kinds[1] == "missing" and kinds[3] == "failed"
    excluded = [slot for slot in layout.slots if slot.kind == "excluded"]
    assert [(slot.row, slot.column, slot.i) for slot in excluded] == [(2, 2, None)]
    states = [at(layout, 0, 1), at(layout, 1, 0), excluded[0]]
    corners = {image.getpixel((s.box.left + 5, s.box.top + 5)) for s in states}
    assert len(corners) == 3
    words = [[la.text for la in layout.labels if inside(la.box, slot.box)] for slot in states]
    assert words == [["not rendered yet"], ["failed", "no key fits"], []]
    middle = states[2].box
    assert image.getpixel(
        ((middle.left + middle.right) // 2, (middle.top + middle.bottom) // 2)
    ) != (image.getpixel((middle.left + 5, middle.top + 5)))


def test_pictures_from_elsewhere_are_marked_and_said() -> None:
    def elsewhere(cell: Cell) -> Outcome:
        return Picture(painted(cell).image, L4 | {"device": "A10G"} if cell.i == 4 else L4)

    plain, _ = draw(article())
    image, layout = draw(article(), elsewhere)
    assert [slot.i for slot in layout.slots if slot.mark] == [4]
    assert texts(layout, "note") == ["A: 1 picture rendered with device A10G (the others: L4)"]
    box = at(layout, 1, 1).box
    shift = box.top - at(draw(article())[1], 1, 1).box.top
    frame = (box.left - 3, box.top + 50)
    assert image.getpixel(frame) != plain.getpixel((frame[0], frame[1] - shift))
    pixels = np.asarray(image.crop((box.left, box.top, box.right, box.bottom)))
    assert (pixels == pixels[0, 0]).all()  # the mark covers nothing of the picture


@pytest.mark.parametrize(
    ("picture", "side", "shown"),
    [
        ((1024, 1024), 480, (480, 480)),
        ((1216, 832), 480, (480, 328)),
        ((832, 1216), 480, (328, 480)),
        ((256, 256), 480, (256, 256)),
        ((129, 129), 480, (129, 129)),
        ((128, 128), 480, (256, 256)),
        ((64, 48), 480, (256, 192)),
        ((64, 64), 100, (64, 64)),
        ((8192, 64), 100, (100, 1)),
    ],
)
def test_pictures_are_scaled_down_and_only_tiny_ones_up(
    picture: tuple[int, int], side: int, shown: tuple[int, int]
) -> None:
    assert shown_size(*picture, side) == shown


@pytest.mark.parametrize("choice", [{"columns": "size"}, {"rows": "size", "columns": ""}])
def test_a_picture_smaller_than_its_box_is_centred(choice: dict[str, object]) -> None:
    wide_and_high = axis("size", {size: {"size": size} for size in ("400x200", "200x400")})
    image, layout = draw(matrix(wide_and_high), **choice)
    for slot, (width, height) in zip(layout.slots, [(400, 200), (200, 400)], strict=True):
        pixels = np.asarray(
            image.crop((slot.box.left, slot.box.top, slot.box.right, slot.box.bottom))
        )
        drawn = (pixels != np.array(Image.new("RGB", (1, 1), PAPER))[0, 0]).any(axis=2)
        top, left = (slot.box.height - height) // 2, (slot.box.width - width) // 2
        assert drawn[top : top + height, left : left + width].all()
        assert drawn.sum() == width * height


def test_a_large_picture_is_reduced_as_lanczos_does() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    cells = matrix(settings={"size": "512x512"})
    sheet, layout = draw(cells, lambda _cell: Picture(image), cell_size=200)
    box = layout.slots[0].box
    seen = sheet.crop((box.left, box.top, box.right, box.bottom))
    assert np.array_equal(seen, image.resize((200, 200), Image.Resampling.LANCZOS))


def test_a_tiny_picture_is_enlarged_pixel_by_pixel() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    sheet, layout = draw(
        matrix(settings={"size": "64x64"}), lambda _cell: Picture(Image.fromarray(noise))
    )
    box = layout.slots[0].box
    seen = np.asarray(sheet.crop((box.left, box.top, box.right, box.bottom)))
    assert np.array_equal(seen, noise.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("choice", [{}, {"columns": "size"}], ids=["alone", "in a larger box"])
def test_a_white_picture_has_a_hairline_around_it(choice: dict[str, object]) -> None:
    """It does not melt into the sheet, and no pixel of it is covered."""
    sizes = axis("size", {size: {"size": size} for size in ("256x256", "400x400")})
    cells = matrix(sizes) if choice else matrix()
    image, layout = draw(cells, lambda _cell: Picture(Image.new("RGB", (256, 256), "white")))
    box = layout.slots[-1].box
    left, top = box.left + (box.width - 256) // 2, box.top + (box.height - 256) // 2
    seen = np.asarray(image.crop((left - 2, top - 2, left + 258, top + 258)))
    rule, paper = (np.array(Image.new("RGB", (1, 1), ink))[0, 0] for ink in (RULE, PAPER))
    assert (seen[0] == paper).all() and (seen[2:-2, 2:-2] == 255).all()
    for line in (seen[1], seen[-2], seen[:, 1], seen[:, -2]):
        assert (line[1:-1] == rule).all()


@pytest.mark.parametrize(
    ("edge", "framed"), [(0.0, False), (0.05, False), (0.3, True), (1.0, True)]
)
def test_one_pale_edge_is_enough_and_a_spot_is_not(edge: float, framed: bool) -> None:
    picture = Image.new("RGB", (256, 256), "navy")
    picture.paste("white", (250, 0, 256, round(256 * edge)))
    image, layout = draw(matrix(), lambda _cell: Picture(picture))
    box = layout.slots[0].box
    paper = Image.new("RGB", (1, 1), PAPER).getpixel((0, 0))
    assert (image.getpixel((box.right, box.top + 128)) != paper) == framed
