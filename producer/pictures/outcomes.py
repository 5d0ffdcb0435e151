"""What is known of a cell: its picture, why it failed, or nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from pydantic import JsonValue

from common.batch import Cell
from common.picture import decode_meta
from common.store import Store
from producer.pictures.examine import Flaw, damage, flaw_of, read_picture, sidecar_flaw

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pictures up to this size, in pixels, are enlarged by a whole number, up to ENLARGED.
TINY = 128
ENLARGED = 256
READ_THREADS = 8


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


def store_lookup(store: Store, failures: Mapping[str, str], batch_id: str = "") -> Lookup:
    """Look into the store. `failures` is key → reason, of what failed and of what was found
    damaged; a picture that is there and whole beats it.

    A stored picture that cannot be read is a failed cell; with `batch_id` also one that the store
    does not hand out. The lookup raises StoreError where the store is the trouble.
    """

    def load(cell: Cell) -> Outcome:
        png = read_picture(cell, store, batch_id)
        if not isinstance(png, Flaw):
            outcome = decoded(png, cell)
            return _compared(outcome, png, cell) if cell.key in failures else outcome
        if png.fault != "missing":
            return Failed(png.reason)
        reason = failures.get(cell.key)
        return None if reason is None else Failed(reason)

    def _compared(outcome: Picture | Failed, png: bytes, cell: Cell) -> Picture | Failed:
        """Only a sidecar tells of a picture that was replaced by another whole one."""
        why = "" if isinstance(outcome, Failed) else sidecar_flaw(png, cell.key, store)
        return Failed(damage(why)) if why else outcome

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

    if why := flaw_of(png, cell.job):  # which also keeps what is too large from being decoded
        return Failed(damage(why))
    try:
        image = Image.open(BytesIO(png), formats=["PNG"])
        image.load()
    except Exception as error:  # Pillow raises many kinds for what is no picture inside
        return Failed(damage(f"{error}"))
    return Picture(image, decode_meta(png).fingerprint)
