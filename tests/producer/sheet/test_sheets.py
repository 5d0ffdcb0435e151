"""A batch → its sheets, as it lies in a store."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from common.batch import RangeAxis
from common.picture import PictureMeta
from common.picture.png import encode_png
from common.store import object_names, open_store
from producer.pictures import store_lookup
from producer.sheet import make_sheets, save
from tests.support.sheets import (
    L4,
    VARIANTS,
    article,
    axis,
    colour,
    draw,
    matrix,
    numbers,
    own_seeds,
    painted,
    texts,
)


def test_each_combination_of_left_over_axes_is_a_sheet(tmp_path: Path) -> None:
    cells = matrix(
        own_seeds(),
        RangeAxis(name="number", first="1", last="2"),
        numbers("steps", 10, 20),
        axis("variant", VARIANTS),
    )
    sheets = make_sheets(cells, painted)
    assert [sheet.labels for sheet in sheets] == [
        ("1", "10"),
        ("1", "20"),
        ("2", "10"),
        ("2", "20"),
    ]
    for sheet in sheets:
        number, steps = sheet.labels
        assert {cell.labels["number"] for cell in sheet.table.present()} == {number}
        assert {cell.labels["steps"] for cell in sheet.table.present()} == {steps}
        _, layout = sheet.draw()
        assert f"number {number}   ·   steps {steps}" in texts(layout, "context")
        assert "steps" not in texts(layout, "facts")[0]  # said once
    written = save(sheets, tmp_path / "F.png")
    assert [path.name for path in written] == [
        "F-1-10.png",
        "F-1-20.png",
        "F-2-10.png",
        "F-2-20.png",
    ]
    assert all(Image.open(path).format == "PNG" for path in written)


def test_a_sheet_is_made_from_what_is_in_the_store(tmp_path: Path) -> None:
    """Given stored pictures, a failure, a damaged object and nothing, each is shown as such;
    a picture beats a failure recorded before it was rendered."""
    store, cells = open_store(str(tmp_path)), article()
    present = list(cells)
    for cell in present[:7]:
        png = encode_png(painted(cell).image, PictureMeta(cell.job, dict(L4), {}))
        store.put(object_names.picture(cell.key), png if cell.i != 2 else png[:-300])
    failures = {present[0].key: "was mended since", present[7].key: "no key fits"}
    image, layout = draw(cells, store_lookup(store, failures))
    kinds = ["picture"] * 2 + ["failed"] + ["picture"] * 4 + ["failed", "missing"]
    assert [slot.kind for slot in layout.slots] == kinds
    assert "no key fits" in texts(layout, "reason")
    assert any("damaged: it is cut off" in text for text in texts(layout, "reason"))
    box = layout.slots[0].box
    assert image.getpixel((box.left + 9, box.top + 9)) == colour(present[0])
