"""A batch's pictures one after the other, each fetched from the store when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import JsonValue

from common.batch import Cell
from common.errors import NotFound
from common.job import Job
from common.picture import PictureMeta, decode_meta, is_stored
from common.store import Store, object_names
from producer.pictures.examine import mend
from producer.pictures.outcomes import Failed, decoded

if TYPE_CHECKING:
    from PIL.Image import Image

READ_THREADS = 16
#: So many cells are looked up at a time, so that the first picture of a million comes at once.
AT_ONCE = 256


@dataclass(frozen=True)
class StoredPicture:
    """The picture of one cell. Nothing of it is in memory before it is asked for; `image`,
    `fingerprint` and `timings` fetch it, and keep it as long as this object lives."""

    cell: Cell
    _store: Store = field(repr=False, compare=False)

    @property
    def i(self) -> int:
        """The cell's number in its batch."""
        return self.cell.i

    @property
    def labels(self) -> dict[str, str]:
        """The cell's label on each axis, e.g. `{"prompt": "wolf", "seed": "1"}`."""
        return self.cell.labels

    @property
    def job(self) -> Job:
        """Everything that decides the pixels: prompt, seed, steps, …"""
        return self.cell.job

    @property
    def key(self) -> str:
        """The SHA-256 that the picture is stored under."""
        return self.cell.key

    @cached_property
    def png(self) -> bytes:
        """The PNG, its recipe inside. Raises StoreError."""
        return self._store.get(object_names.picture(self.key))

    @cached_property
    def image(self) -> Image:
        """The picture, `job.width` × `job.height`. Raises StoreError, and NotFound where the
        store has something else under the picture's name."""
        outcome = decoded(self.png, self.cell)
        if isinstance(outcome, Failed):
            raise NotFound(f"cell {self.i}: {outcome.reason}", hint=mend())
        return outcome.image

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """The machine and the library versions that drew it. Raises as `image` does."""
        return self._meta.fingerprint

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds of each phase of its rendering. Raises as `image` does."""
        return self._meta.timings

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png

    @cached_property
    def _meta(self) -> PictureMeta:
        return decode_meta(self.png)


def stored_pictures(cells: Iterable[Cell], store: Store) -> Iterator[StoredPicture]:
    """Those of the cells whose picture is in the store, in their order; what is not rendered yet
    is passed over. Raises StoreError."""
    waiting = iter(cells)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        while chunk := list(islice(waiting, AT_ONCE)):
            answers = pool.map(lambda cell: is_stored(store, cell.key), chunk)
            for cell, there in zip(chunk, answers, strict=True):
                if there:
                    yield StoredPicture(cell, store)
