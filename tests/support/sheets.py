"""Batches as they are drawn on sheets, and what a test asks of a sheet."""

from __future__ import annotations

import zlib

import pytest
from PIL import Image

from common.batch import Axis, Batch, Cell, Matrix, RangeAxis
from producer.pictures import Failed, Lookup, Outcome, Picture
from producer.sheet import Sheet, make_sheets
from producer.sheet.model import Box, Layout, Slot

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
