"""The batches that were ordered last from this machine: what `@last` means, and where a batch is
that somebody looks for in another store."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.store import Store, replacing

#: So many orders are remembered.
REMEMBERED = 100


@dataclass(frozen=True)
class LastBatch:
    """A batch's id, and the URL of the store that it is in."""

    id: str
    store: str

    def is_in(self, store: Store) -> bool:
        return one_name(self.store) == one_name(store.url)

    @property
    def where(self) -> str:
        """A hint for who looks for it somewhere else."""
        return f"{self.id} is in another store: --store {self.store}"


def remember(cache_dir: Path, batch_id: str, store: Store) -> None:
    """Make the batch what `@last` means in its store, if the cache can be written."""
    last = LastBatch(batch_id, store.url)
    others = [one for one in remembered(cache_dir) if one != last]
    lines = [f"{one.id} {one.store}\n" for one in [last, *others][:REMEMBERED]]
    with suppress(OSError), replacing(_file(cache_dir)) as file:
        file.write("".join(lines).encode())


def remembered(cache_dir: Path) -> list[LastBatch]:
    """The last first; none where the file cannot be read."""
    try:
        lines = _file(cache_dir).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    pairs = (line.partition(" ") for line in lines)
    return [LastBatch(batch_id, store) for batch_id, _, store in pairs if store]


def _file(cache_dir: Path) -> Path:
    return cache_dir / "last-batches"


def one_name(store: str) -> str:
    """Of the URL of a store: one for all names of a folder."""
    return store if "://" in store else os.path.realpath(store)
