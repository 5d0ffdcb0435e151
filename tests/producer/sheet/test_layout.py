"""Every label and every cell has its place, and nothing covers another."""

from __future__ import annotations

from itertools import combinations

from producer.pictures import Failed
from producer.sheet.model import Box
from tests.support.sheets import (
    PROMPTS,
    VARIANTS,
    Case,
    article,
    at,
    axis,
    draw,
    every_sheet,
    inside,
    matrix,
    one_sheet,
    texts,
)


@every_sheet
def test_no_label_leaves_the_sheet_or_covers_anything(case: Case) -> None:
    cells, lookup, choice = case
    _, layout = draw(cells, lookup, **choice)
    sheet = Box(0, 0, layout.width, layout.height)
    slots = [slot.box for slot in layout.slots]
    assert all(inside(box, sheet) for box in [*slots, *(label.box for label in layout.labels)])
    assert not any(one.overlaps(other) for one, other in combinations(slots, 2))
    boxes = [label.box for label in layout.labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for label in layout.labels:
        own = label.style.name in ("missing", "failed", "reason")
        touched = [slot for slot in slots if label.box.overlaps(slot)]
        assert touched == ([slot for slot in slots if inside(label.box, slot)] if own else [])


def test_a_heading_is_beside_its_row_and_above_its_column() -> None:
    _, layout = draw(article())
    heads = {label.text: label.box for label in layout.labels if label.style.name == "head"}
    for row, prompt in enumerate(PROMPTS):
        slot = at(layout, row, 0).box
        assert heads[prompt].right < slot.left and slot.top <= heads[prompt].top < slot.bottom
    for column, variant in enumerate(VARIANTS):
        slot = at(layout, 0, column).box
        assert heads[variant].bottom < slot.top and heads[variant].left == slot.left


@every_sheet
def test_every_text_is_on_the_sheet_whole(case: Case) -> None:
    """Labels, the prompts and seeds behind them, and reasons: nothing is shortened."""
    cells, lookup, choice = case
    sheet = one_sheet(cells, lookup, **choice)
    _, layout = sheet.draw()
    shown = texts(layout)
    levels = (*sheet.table.rows, *sheet.table.columns)
    wanted = [text for level in levels for h in level.headings for text in (h.label, *h.details)]
    for text in wanted:
        drawn = text if text.isascii() and text.isprintable() else None
        assert drawn is None or drawn in shown
    for cell in sheet.table.present():
        outcome = lookup(cell)
        if isinstance(outcome, Failed):
            assert any(outcome.reason in text for text in shown)


def test_a_reason_without_room_is_a_footnote() -> None:
    _, layout = draw(article(), lambda _cell: Failed("no key fits"), cell_size=40)
    assert texts(layout, "footnote") == ["[1] no key fits"]
    assert texts(layout, "reason") == ["[1]"] * 9


@every_sheet
def test_smaller_pictures_make_no_larger_sheet(case: Case) -> None:
    """Headings, which stay as large, get their room beside or above the pictures."""
    cells, _, choice = case
    layouts = [
        draw(cells, lambda _cell: None, **choice | {"cell_size": size})[1]
        for size in (32, 64, 128, 200, 256, 400)
    ]
    areas = [layout.width * layout.height for layout in layouts]
    assert areas == sorted(areas)


def test_the_articles_grid_fits_a_screen() -> None:
    """Five prompts × three variants of 1024 pixels are about 1600 to 2000 pixels wide."""
    five = axis(
        "prompt", {f"p{n}": {"prompt": text} for n, text in enumerate([*PROMPTS.values()] * 2)}
    )
    cells = matrix(five, axis("variant", VARIANTS), settings={"size": "1024x1024"})
    _, layout = draw(cells, lambda _cell: None)
    assert 1600 <= layout.width <= 2000
