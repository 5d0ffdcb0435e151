from __future__ import annotations

import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.batch import Axis, Batch, Cell, Matrix, RangeAxis
from common.errors import UsageError
from common.picture import PictureMeta
from common.picture.png import encode_png
from common.store import object_names, open_store
from producer.pictures import Failed, Lookup, Outcome, Picture, shown_size, store_lookup
from producer.sheet import Sheet, make_sheets, save
from producer.sheet.model import Box, Layout, Slot
from producer.sheet.paint import PAPER

SETTINGS = {
    "model": "sdxl",
    "negative_prompt": None,
    "prompt": "a wolf",
    "seed": "0",
    "noise": "cpu",
    "steps": 50,
    "guidance_scale": 13.0,
    "high_noise_frac": 0.8,
    "size": "256x256",
    "long_prompts": "truncate",
}
MODELS = dict.fromkeys(("sdxl", "fp16-fix", "sdxl-refiner"), "owner/name@" + "a" * 40)
PROMPTS = {
    "wolf": "A wolf in Yosemite National Park, chilly nature documentary film photography",
    "hamburger": "a large delicious hamburger (in the shape of five-dimensional alien"
    " geometry)++++, professional food photography",
    "front-page": "lossless PDF scan of the front page of the January 2038 issue of the Wall"
    " Street Journal featuring a cover story about (evil robot world domination)++",
}
VARIANTS: dict[str, dict[str, object]] = {
    "base": {},
    "wrong-negative": {"negative_prompt": "wrong"},
    "wrong-lora": {"negative_prompt": "wrong", "loras": {"wrong": 1.0}},
}
UNBROKEN = "https://example.org/" + "averylongword" * 12
L4 = {"device": "L4", "torch": "2.13.0"}


def axis(name: str, values: dict[str, dict[str, object]]) -> Axis:
    loaded = [{"label": label, "settings": settings} for label, settings in values.items()]
    return Axis.model_validate({"name": name, "values": loaded})


def own_seeds(named: bool = True) -> Axis:
    """The article's prompts, each with its own seed."""
    return axis(
        "prompt",
        {
            name if named else text: {"prompt": text, "seed": f"{84061037 + at}"}
            for at, (name, text) in enumerate(PROMPTS.items())
        },
    )


def numbers(name: str, *values: int) -> Axis:
    return axis(name, {str(value): {name: value} for value in values})


def matrix(*axes: Axis | RangeAxis, **fields: object) -> Matrix:
    settings = SETTINGS | fields.pop("settings", {})  # type: ignore[operator]
    return Matrix(
        Batch.model_validate(
            {
                "name": "wrong-lora",
                "settings": settings,
                "axes": axes,
                "models": MODELS,
                "loras": {"wrong": "b" * 64},
                **fields,
            }
        )
    )


def article(**fields: object) -> Matrix:
    return matrix(own_seeds(), axis("variant", VARIANTS), **fields)


def colour(cell: Cell) -> tuple[int, int, int]:
    red, green, blue, _ = zlib.crc32(cell.key.encode()).to_bytes(4, "big")
    return red, green, blue


def painted(cell: Cell) -> Picture:
    """A picture of the cell's own size in a colour that only this cell has."""
    return Picture(Image.new("RGB", (cell.job.width, cell.job.height), colour(cell)), L4)


def one_sheet(cells: Matrix, lookup: Lookup = painted, **choice: object) -> Sheet:
    (sheet,) = make_sheets(cells, lookup, **choice)  # type: ignore[arg-type]
    return sheet


def draw(cells: Matrix, lookup: Lookup = painted, **choice: object) -> tuple[Image.Image, Layout]:
    return one_sheet(cells, lookup, **choice).draw()


def texts(layout: Layout, *kinds: str) -> list[str]:
    return [label.text for label in layout.labels if not kinds or label.style.name in kinds]


def labels_of(sheet: Sheet) -> tuple[list[str], list[str]]:
    """The labels of the innermost rows and columns."""
    rows, columns = (
        [h.label for h in levels[-1].headings] if levels else []
        for levels in (sheet.table.rows, sheet.table.columns)
    )
    return rows, columns


def inside(inner: Box, outer: Box) -> bool:
    across = outer.left <= inner.left and inner.right <= outer.right
    return across and outer.top <= inner.top and inner.bottom <= outer.bottom


def at(layout: Layout, row: int, column: int) -> Slot:
    return next(slot for slot in layout.slots if (slot.row, slot.column) == (row, column))


def mixed(cell: Cell) -> Outcome:
    """One cell not rendered, one failed for a short reason, one for a long one."""
    long = "tensor lora_unet_down_blocks_1_attentions_0 of wrong.safetensors has NaN weights; " * 9
    by_number: dict[int, Outcome] = {1: None, 3: Failed("no key fits"), 5: Failed(long)}
    return by_number.get(cell.i, painted(cell))


SHEETS: dict[str, tuple[Matrix, Lookup, dict[str, object]]] = {
    "article": (article(), painted, {}),
    "unnamed prompts": (matrix(own_seeds(named=False), axis("variant", VARIANTS)), painted, {}),
    "1024 px": (article(settings={"size": "1024x1024"}), lambda _cell: None, {}),
    "tiny": (article(settings={"size": "64x64"}), painted, {}),
    "small cells": (article(), mixed, {"cell_size": 40}),
    "states": (article(), mixed, {}),
    "long texts": (
        matrix(
            axis(
                "prompt",
                {
                    UNBROKEN: {"prompt": UNBROKEN},
                    "日本の狼、雪の中 🐺 Жук café\x07": {"prompt": "日本の狼 café"},
                    "long": {"prompt": " ".join(PROMPTS.values()) * 4},
                },
            ),
            axis("variant", {UNBROKEN: {"steps": 30}, "b": {"negative_prompt": "ugly, " * 60}}),
        ),
        painted,
        {},
    ),
    "joined": (
        matrix(own_seeds(), numbers("steps", 10, 20), axis("variant", VARIANTS)),
        painted,
        {"rows": "prompt,steps", "columns": "variant"},
    ),
    "joined columns": (
        matrix(own_seeds(), numbers("steps", 10, 20), axis("variant", VARIANTS)),
        painted,
        {"rows": "", "columns": "prompt,steps,variant"},
    ),
    "one cell": (matrix(), painted, {}),
    "one row": (matrix(RangeAxis(name="seed", first="1", last="30")), painted, {}),
    "one column": (
        matrix(RangeAxis(name="seed", first="1", last="30")),
        painted,
        {"rows": "seed", "columns": ""},
    ),
    "sizes": (
        matrix(
            own_seeds(), axis("size", {s: {"size": s} for s in ("64x64", "1216x832", "96x512")})
        ),
        painted,
        {},
    ),
}
every_sheet = pytest.mark.parametrize("case", SHEETS.values(), ids=SHEETS.keys())
Case = tuple[Matrix, Lookup, dict[str, object]]


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


def test_rows_are_prompts_and_columns_variants() -> None:
    sheet = one_sheet(article())
    assert labels_of(sheet) == (list(PROMPTS), list(VARIANTS))
    for row, prompt in enumerate(PROMPTS):
        for column, variant in enumerate(VARIANTS):
            cell = sheet.table.cells[row][column]
            assert cell and cell.labels == {"prompt": prompt, "variant": variant}


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


def test_a_prompt_with_its_own_seed_is_told_in_full() -> None:
    _, layout = draw(article())
    details = texts(layout, "detail")
    for number, prompt in enumerate(PROMPTS.values()):
        assert prompt in details and f"seed {84061037 + number}" in details


def test_a_prompt_without_a_name_is_not_told_twice() -> None:
    _, layout = draw(matrix(own_seeds(named=False), axis("variant", VARIANTS)))
    for prompt in PROMPTS.values():
        assert texts(layout).count(prompt) == 1


def test_a_variant_says_what_it_sets() -> None:
    _, layout = draw(article())
    assert "negative_prompt wrong · loras wrong 1" in texts(layout, "detail")


def test_the_caption_tells_what_is_constant() -> None:
    _, layout = draw(article())
    (title,), (facts,) = texts(layout, "title"), texts(layout, "facts")
    assert title == "wrong-lora"
    for fact in ("model sdxl", "size 256x256", "steps 50", "guidance_scale 13"):
        assert fact in facts
    assert "high_noise_frac 0.8" in facts and "refiner.model sdxl-refiner" in facts
    assert "seed" not in facts and "negative_prompt" not in facts and "loras" not in facts


def test_a_prompt_with_words_is_told_as_it_is_written() -> None:
    """Its cells have different prompts, so the template is what they share."""
    words = axis("animal", {name: {"words.animal": name} for name in ("wolf", "cat")})
    prompt = axis("prompt", {"a {animal}": {"prompt": "a {animal}"}})
    [sheet] = make_sheets(matrix(words, prompt), painted)
    assert "a {animal}" in sheet.caption.context
    [level] = sheet.table.columns or sheet.table.rows
    assert [heading.details for heading in level.headings] == [(), ()]


def test_a_seed_of_each_image_is_labelled_once() -> None:
    seeds = axis("seed", {f"random {n}": {"seed": {"from": "7"}} for n in (1, 2)})
    [sheet] = make_sheets(matrix(seeds, settings={"prompt": "a"}), painted)
    [level] = sheet.table.columns or sheet.table.rows
    labels = [(heading.label, heading.details) for heading in level.headings]
    assert labels == [("random 1", ()), ("random 2", ())]


def test_the_title_may_be_chosen() -> None:
    _, layout = draw(article(), title="Wolves & hamburgers")
    assert texts(layout, "title") == ["Wolves & hamburgers"]


def test_an_axis_of_one_value_goes_into_the_caption() -> None:
    cells = matrix(
        axis("prompt", {"wolf": {"prompt": "a wolf in snow"}}),
        axis("style", {"loud": {"guidance_scale": 20.0}}),
        RangeAxis(name="seed", first="7", last="7"),
        axis("variant", VARIANTS),
    )
    sheet = one_sheet(cells)
    assert labels_of(sheet) == ([], list(VARIANTS))
    _, layout = sheet.draw()
    context = texts(layout, "context")
    assert context == ["style loud (guidance_scale 20)", "wolf", "a wolf in snow"]
    assert "seed 7" in texts(layout, "facts")[0]


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


def test_files_of_sheets_with_hostile_labels_stay_in_the_folder(tmp_path: Path) -> None:
    labels = ["../up", "a/b", "A/B", "x" * 300]
    cells = matrix(own_seeds(), axis("variant", VARIANTS), axis("odd", {la: {} for la in labels}))
    sheets = make_sheets(cells, lambda _cell: None, where={"prompt": "wolf"}, rows="prompt")
    written = save(sheets, tmp_path / "out" / "F.png")
    assert [path.name for path in written] == [
        "F-up.png",
        "F-a-b.png",
        "F-A-B-2.png",
        written[3].name,
    ]
    assert set((tmp_path / "out").iterdir()) == set(written)


def test_one_sheet_has_the_name_it_was_given(tmp_path: Path) -> None:
    assert save([one_sheet(article())], tmp_path / "F.png") == [tmp_path / "F.png"]
    assert save([one_sheet(article())], tmp_path / "G") == [tmp_path / "G.png"]


@pytest.mark.parametrize(
    ("axes", "rows", "columns"),
    [
        ("prompt seed variant", "prompt", "variant"),
        ("variant prompt seed", "prompt", "variant"),
        ("prompt seed steps", "prompt", "steps"),
        ("seed steps", "seed", "steps"),
        ("prompt", "prompt", ""),
        ("seed", "", "seed"),
    ],
)
def test_defaults(axes: str, rows: str, columns: str) -> None:
    """Columns: variant, else the last axis. Rows: prompt, else the largest that is left."""
    known = {
        "prompt": axis("prompt", {p: {"prompt": p} for p in PROMPTS}),
        "seed": RangeAxis(name="seed", first="1", last="4"),
        "steps": numbers("steps", 10, 20),
        "variant": axis("variant", VARIANTS),
    }
    table = make_sheets(matrix(*(known[name] for name in axes.split())), painted)[0].table
    assert [level.axis for level in table.rows] == rows.split()
    assert [level.axis for level in table.columns] == columns.split()


def test_what_is_chosen_for_the_rows_leaves_the_rest_to_the_columns() -> None:
    assert labels_of(one_sheet(article(), rows="variant")) == (list(VARIANTS), list(PROMPTS))


def test_joined_axes_share_the_heading_of_the_outer_one() -> None:
    cells = matrix(own_seeds(), numbers("steps", 10, 20), axis("variant", VARIANTS))
    sheet = one_sheet(cells, rows="prompt, steps")
    outer, inner = sheet.table.rows
    assert [(h.label, h.first, h.count) for h in outer.headings] == [
        (prompt, 2 * number, 2) for number, prompt in enumerate(PROMPTS)
    ]
    assert [h.label for h in inner.headings] == ["10", "20"] * 3
    _, layout = sheet.draw()
    gap, wider = (at(layout, row, 0).box.top - at(layout, row - 1, 0).box.bottom for row in (1, 2))
    assert gap < wider  # a new prompt is set apart
    steps = [label.box.left for label in layout.labels if label.text in ("10", "20")]
    prompts = [la.box.right for la in layout.labels if la.text in (*PROMPTS, *PROMPTS.values())]
    assert max(prompts) < min(steps)


def test_where_keeps_labels() -> None:
    sheet = one_sheet(article(), where={"prompt": "wolf", "variant": ["base", "wrong-lora"]})
    assert labels_of(sheet) == ([], ["base", "wrong-lora"])
    assert [cell.labels["prompt"] for cell in sheet.table.present()] == ["wolf", "wolf"]


def test_where_finds_a_value_of_an_axis_too_long_to_list() -> None:
    cells = matrix(RangeAxis(name="seed", first="0", last=str(10**9 - 1)))
    sheet = one_sheet(cells, where={"seed": ["5", "999999999"]})
    assert labels_of(sheet)[1] == ["5", "999999999"]


@pytest.mark.parametrize(
    ("choice", "said", "hint"),
    [
        (
            {"rows": "prompts"},
            "no axis 'prompts'",
            "did you mean 'prompt'? there are: prompt, seed",
        ),
        ({"columns": "zebra"}, "no axis 'zebra'", "there are: prompt, seed"),
        ({"where": {"sed": "1"}}, "no axis 'sed'", "did you mean 'seed'?"),
        ({"where": {"prompt": "wolv"}}, "no value of prompt is 'wolv'", "did you mean 'wolf'?"),
        ({"where": {"seed": "5000"}}, "no value of seed is 5000", ""),
        ({"where": {"seed": "one"}}, "no value of seed is 'one'", ""),
        ({"rows": "seed", "columns": "prompt,seed"}, "in the rows and in the columns", "once"),
        ({"rows": "seed", "columns": "prompt"}, "5,010 cells", "--where"),
        ({"rows": "prompt", "columns": ""}, "1,670 sheets", "seed 1,670"),
        ({"where": {"seed": "1"}, "cell_size": 4}, "4 pixels", "16"),
        ({"where": {"seed": "1"}, "rows": "prompt", "cell_size": 9000}, "pixels", "cell-size"),
    ],
)
def test_a_choice_that_cannot_be_drawn_says_why(
    choice: dict[str, object], said: str, hint: str
) -> None:
    cells = matrix(
        axis("prompt", {p: {"prompt": p} for p in PROMPTS}),
        RangeAxis(name="seed", first="1", last="1670"),
        settings={"size": "8192x8192"},
    )
    with pytest.raises(UsageError) as caught:
        make_sheets(cells, painted, **choice)  # type: ignore[arg-type]
    assert said in caught.value.message and hint in caught.value.hint


def test_a_million_cells_are_refused_without_being_listed() -> None:
    cells = matrix(own_seeds(), RangeAxis(name="number", first="1", last=str(10**8)))
    with pytest.raises(UsageError, match="too many"):
        make_sheets(cells, painted)


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


def test_the_caption_counts_what_is_not_there() -> None:
    cells = article(exclude=({"prompt": ("front-page",), "variant": ("wrong-lora",)},))
    _, layout = draw(cells, mixed)
    assert texts(layout, "note") == ["1 not rendered yet, 2 failed of 8 cells"]
    assert texts(layout, "facts")[0].endswith("1 cell left out (blank)")
    assert texts(draw(article())[1], "note") == []


def test_a_reason_without_room_is_a_footnote() -> None:
    _, layout = draw(article(), lambda _cell: Failed("no key fits"), cell_size=40)
    assert texts(layout, "footnote") == ["[1] no key fits"]
    assert texts(layout, "reason") == ["[1]"] * 9


def test_rows_and_columns_that_are_excluded_whole_are_not_drawn() -> None:
    cells = article(exclude=({"variant": ("base",)}, {"prompt": ("wolf",)}))
    assert labels_of(one_sheet(cells)) == (
        ["hamburger", "front-page"],
        ["wrong-negative", "wrong-lora"],
    )


def test_a_sheet_of_excluded_cells_alone_is_refused() -> None:
    cells = article(exclude=({"variant": ("base",)},))
    with pytest.raises(UsageError, match="excluded"):
        make_sheets(cells, painted, where={"variant": "base"})


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


def test_the_articles_grid_fits_a_screen() -> None:
    """Five prompts × three variants of 1024 pixels are about 1600 to 2000 pixels wide."""
    five = axis(
        "prompt", {f"p{n}": {"prompt": text} for n, text in enumerate([*PROMPTS.values()] * 2)}
    )
    cells = matrix(five, axis("variant", VARIANTS), settings={"size": "1024x1024"})
    _, layout = draw(cells, lambda _cell: None)
    assert 1600 <= layout.width <= 2000


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
    assert any("cannot be read" in text for text in texts(layout, "reason"))
    box = layout.slots[0].box
    assert image.getpixel((box.left + 9, box.top + 9)) == colour(present[0])


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        save([one_sheet(article())], tmp_path / "file" / "F.png")
    with pytest.raises(UsageError, match="PNG"):
        save([one_sheet(article())], tmp_path / "F.jpg")
