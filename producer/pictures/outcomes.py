"""What is known of each cell of a sheet: its picture, why it failed, or nothing yet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from pydantic import JsonValue

from common.batch import Cell
from common.errors import ObjectMissing, TooLarge
from common.store import Store, object_names

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pictures up to this size, in pixels, are enlarged by a whole number, up to ENLARGED.
TINY = 128
ENLARGED = 256
THREADS = 8
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


@dataclass(frozen=True)
class Strangers:
    """Pictures whose fingerprint differs from the majority's, all in the same way."""

    mark: str
    cells: frozenset[int]
    differences: str


def store_lookup(store: Store, failures: Mapping[str, str]) -> Lookup:
    """Look into the store. `failures` is key → reason; a picture that is there beats it.

    The lookup raises StoreError; a stored picture that cannot be read is a failed cell.
    """

    def look_up(cell: Cell) -> Outcome:
        try:
            return _decoded(store.get(object_names.picture(cell.key)), cell)
        except TooLarge as error:
            return Failed(f"the stored picture cannot be read: {error.message}")
        except ObjectMissing:
            reason = failures.get(cell.key)
            return None if reason is None else Failed(reason)

    return look_up


def look(cells: Iterable[Cell], lookup: Lookup, side: int) -> dict[int, Outcome]:
    """Cell number → outcome, pictures already in the size they are shown in.

    No more than THREADS full pictures are in memory at a time.
    """

    def scaled(cell: Cell) -> Outcome:
        outcome = lookup(cell)
        if isinstance(outcome, Picture):
            return Picture(scale(outcome.image, side), outcome.fingerprint)
        return outcome

    wanted = list(cells)
    with ThreadPoolExecutor(THREADS) as pool:
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


def strangers(outcomes: Mapping[int, Outcome]) -> list[Strangers]:
    """The groups of pictures, A, B, …, that do not have the most frequent fingerprint."""
    prints = {
        i: json.dumps(dict(outcome.fingerprint), sort_keys=True)
        for i, outcome in outcomes.items()
        if isinstance(outcome, Picture) and outcome.fingerprint
    }
    ranked = [text for text, _ in Counter(prints.values()).most_common()]
    return [
        Strangers(
            _letter(at),
            frozenset(i for i, text in prints.items() if text == other),
            _differences(json.loads(other), json.loads(ranked[0])),
        )
        for at, other in enumerate(ranked[1:])
    ]


def _decoded(png: bytes, cell: Cell) -> Outcome:
    from PIL import Image

    from common.picture import decode_meta

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


def _letter(at: int) -> str:
    return chr(ord("A") + at) if at < 26 else str(at + 1)


def _differences(ours: dict[str, JsonValue], theirs: dict[str, JsonValue]) -> str:
    """`gpu A10G (the others: L4), torch 2.12 (the others: 2.13)`."""
    names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    return ", ".join(
        f"{n} {_plain(ours.get(n))} (the others: {_plain(theirs.get(n))})" for n in names
    )


def _plain(value: JsonValue) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
