"""What is known of a cell: its picture, why it failed, or nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from pydantic import JsonValue

from common.batch import Cell
from common.errors import ObjectMissing, TooLarge
from common.picture import decode_meta
from common.store import Store, object_names

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pictures up to this size, in pixels, are enlarged by a whole number, up to ENLARGED.
TINY = 128
ENLARGED = 256
READ_THREADS = 8
#: Characters of a reason.
LONGEST = 300


@dataclass(frozen=True)
class Picture:
    """A stored picture; an empty `fingerprint` is one that is not known."""

    image: Image
    fingerprint: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A cell that cannot be rendered, and the reason for a person to read."""

    reason: str


#: None: not rendered yet.
Outcome = Picture | Failed | None
Lookup = Callable[[Cell], Outcome]


def store_lookup(store: Store, failures: Mapping[str, str]) -> Lookup:
    """Look into the store. `failures` is key → reason; a picture that is there beats it.

    The lookup raises StoreError; a stored picture that cannot be read is a failed cell.
    """

    def load(cell: Cell) -> Outcome:
        try:
            return decoded(store.get(object_names.picture(cell.key)), cell)
        except TooLarge as error:
            return Failed(f"the stored picture cannot be read: {error.message}")
        except ObjectMissing:
            reason = failures.get(cell.key)
            return None if reason is None else Failed(reason)

    return load


def load_outcomes(cells: Iterable[Cell], lookup: Lookup, side: int) -> dict[int, Outcome]:
    """Cell number → outcome, pictures already in the size they are shown in.

    No more than READ_THREADS full pictures are in memory at a time.
    """

    def scaled(cell: Cell) -> Outcome:
        outcome = lookup(cell)
        if isinstance(outcome, Picture):
            return Picture(scale(outcome.image, side), outcome.fingerprint)
        return outcome

    wanted = list(cells)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        outcomes = pool.map(scaled, wanted)
        return {cell.i: outcome for cell, outcome in zip(wanted, outcomes, strict=True)}


def shown_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The size in which a picture of `width` × `height` is shown in a box of `side`: scaled
    down to fit, never up, except a tiny one by a whole number."""
    longest = max(width, height)
    if longest > side:
        return max(1, round(width * side / longest)), max(1, round(height * side / longest))
    times = max(1, min(side, ENLARGED) // longest) if longest <= TINY else 1
    return width * times, height * times


def scale(image: Image, side: int) -> Image:
    from PIL.Image import Resampling

    size = shown_size(*image.size, side)
    smaller = size[0] < image.width
    method = Resampling.LANCZOS if smaller else Resampling.NEAREST
    return image.convert("RGB").resize(size, method)


def decoded(png: bytes, cell: Cell) -> Picture | Failed:
    """The picture, whole, if it is this cell's."""
    from PIL import Image

    try:
        meta = decode_meta(png)
        if meta.job.key != cell.key:
            return Failed("the stored picture is another cell's")
        image = Image.open(BytesIO(png), formats=["PNG"])
        if image.size != (cell.job.width, cell.job.height):  # perhaps too large to decode
            return Failed("the stored picture has another size than its cell")
        image.load()
    except Exception as error:  # Pillow raises many kinds for a damaged PNG
        return Failed(f"the stored picture cannot be read: {error}"[:LONGEST])
    return Picture(image, meta.fingerprint)
