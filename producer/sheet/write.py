"""Sheets → PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from common.batch import Matrix, slug
from common.errors import UsageError
from common.picture import METADATA_BYTES, Z_RLE
from common.store import file_in, replacing
from producer.pictures import KEYWORD, SheetRecipe, Where, choose, distinct_names
from producer.sheet.sheets import Sheet

if TYPE_CHECKING:
    from PIL.Image import Image

#: Cells that are put on one sheet, all axes together.
ONE_SHEET_UP_TO = 400


def save(sheets: Sequence[Sheet], path: str | PathLike[str]) -> list[Path]:
    """Draw the sheets one by one into `path`, or `<path>-<labels>.png` if there are several; where
    `path` is a folder, or ends in a slash, into files called after the batch in it.

    Raises UsageError if the file cannot be written or is not named .png.
    """
    path = file_in(path, f"{slug(sheets[0].caption.title)}.png")
    path = path.with_name(f"{path.name}.png") if not path.suffix else path
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: sheets are PNG files", hint="give a name that ends in .png")
    paths = _paths(sheets, path)
    for sheet, target in zip(sheets, paths, strict=True):
        image, _ = sheet.draw()
        _write(image, target, sheet.recipe)
    return paths


def one_image(sheets: Sequence[Sheet]) -> Image:
    """The sheet as a picture. Raises UsageError where it is not one alone."""
    if len(sheets) > 1:
        raise UsageError(
            f"that makes {len(sheets)} sheets",
            hint="name more axes in rows and columns, keep one value of the others with "
            "where, or write them all with save_grid",
        )
    image, _ = sheets[0].draw()
    return image


def all_rows(matrix: Matrix, where: Where | None = None) -> str | None:
    """The axes of the rows of one sheet that holds all cells: every axis but the last. None
    leaves a batch too large for that to the defaults, which make several sheets."""
    axes = choose(matrix, where or {}).values()
    varying = [axis.name for axis in axes if axis.varies]
    cells = prod(len(axis.positions) for axis in axes) if where else matrix.cells
    if len(varying) < 3 or cells > ONE_SHEET_UP_TO:
        return None
    columns = "variant" if "variant" in varying else varying[-1]
    return ",".join(name for name in varying if name != columns)


def _paths(sheets: Sequence[Sheet], path: Path) -> list[Path]:
    if len(sheets) == 1:
        return [path]
    labels = ["-".join(sheet.labels) for sheet in sheets]
    names = distinct_names(labels)
    return [path.with_name(f"{path.stem}-{names[label]}.png") for label in labels]


def _write(image: Image, path: Path, recipe: SheetRecipe | None) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    if recipe and len(text := recipe.written()) < METADATA_BYTES // 4:  # UTF-8 is up to 4 bytes
        texts.add_itxt(KEYWORD, text)
    try:
        with replacing(path) as file:
            image.save(file, "PNG", pnginfo=texts, compress_level=1, compress_type=Z_RLE)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
