"""Which batch of a store is meant by an id, its prefix, a name, @last, or a batch file."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from common.batch import Batch, Matrix, is_batch_id, slug
from common.config import FarmConfig
from common.dispatch import read_batch
from common.errors import NotFound
from common.store import Store, object_names, open_store
from producer.catalogue import batch_ids, latest_first
from producer.language import BatchFile
from producer.submission import resolve_offline

#: The word for the batch that was rendered or submitted last from this machine.
LAST = "@last"
#: So many batches are named to somebody who means none of them.
NAMED = 5


@dataclass(frozen=True)
class LastBatch:
    """What `@last` means on this machine: a batch's id, and the store that it is in."""

    id: str
    store: str

    @classmethod
    def read(cls, cache_dir: Path) -> LastBatch | None:
        """None before anything was submitted, and for a file that cannot be read."""
        try:
            batch_id, store = _last_file(cache_dir).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return None
        return cls(batch_id, store)

    def write(self, cache_dir: Path) -> None:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _last_file(cache_dir).write_text(f"{self.id}\n{self.store}\n", "utf-8")


@dataclass(frozen=True)
class FoundBatch:
    """A batch that a store has, and that store."""

    id: str
    document: Batch = field(repr=False)
    store: Store = field(repr=False, compare=False)

    @cached_property
    def matrix(self) -> Matrix:
        """Its cells: `matrix[0].job`."""
        return Matrix(self.document)


def _last_file(cache_dir: Path) -> Path:
    return cache_dir / "last-batch"


def remember(config: FarmConfig, batch_id: str) -> None:
    """Make `batch_id` what `@last` means on this machine."""
    store = config.store if "://" in config.store else str(Path(config.store).absolute())
    LastBatch(batch_id, store).write(config.cache_dir)


def store_for(batch: str | BatchFile, config: FarmConfig) -> str:
    """Where to look for a batch: in the configured store; in the last batch's own where none is
    configured, and for @last where that is not in the configured one."""
    last = LastBatch.read(config.cache_dir)
    if last is None or (config.store and batch != LAST):
        return config.store
    if config.store and open_store(config.store).exists(object_names.batch(last.id)):
        return config.store
    return last.store


def find_batch(batch: str | BatchFile, store: Store, config: FarmConfig) -> tuple[str, Batch]:
    """(id, document) of the batch that a word or a batch file names. Raises NotFound."""
    if isinstance(batch, BatchFile):
        return _of_file(batch, store)
    # Some file systems, and what was copied from them, write é as two characters.
    word = unicodedata.normalize("NFC", _need_last(config) if batch == LAST else batch)
    if is_batch_id(word) and store.exists(object_names.batch(word)):
        return word, read_batch(store, word)
    batch_id = _search(word, store)
    return batch_id, read_batch(store, batch_id)


def _search(word: str, store: Store) -> str:
    ids = batch_ids(store)
    named = [*_whole(store, (id_ for id_ in ids if id_.rpartition("-")[0] == slug(word)))]
    if named:
        return named[0] if len(named) == 1 else next(iter(latest_first(store, named)))
    begun = [*_whole(store, (id_ for id_ in ids if id_.startswith(word)))]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise NotFound(
            f"{word!r} begins several batches: {', '.join(begun[:8])}", hint="write more of the id"
        )
    raise NotFound(
        f"the store at {store.url} has no batch {word!r}",
        hint=_what_is_left(word, ids) or _suggest(word, ids, store),
    )


def _whole(store: Store, ids: Iterable[str]) -> Iterator[str]:
    """Those that have their document, looked for as they are asked for."""
    return (batch_id for batch_id in ids if store.exists(object_names.batch(batch_id)))


def _what_is_left(word: str, ids: Iterable[str]) -> str:
    """Of a batch without its document, whose removal was cut off; "" where it is not meant."""
    left = [id_ for id_ in ids if id_.startswith(word) or id_.rpartition("-")[0] == slug(word)]
    return f"what a removal has left of it goes with: gridfarm rm {left[0]}" if left else ""


def _suggest(word: str, ids: list[str], store: Store) -> str:
    near = [*_whole(store, difflib.get_close_matches(word, ids, n=3, cutoff=0.5))]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if some := [*islice(_whole(store, ids), NAMED + 1)]:
        return f"it has {', '.join(some[:NAMED])}{' …' if len(some) > NAMED else ''}"
    return "it has no batches yet: gridfarm submit FILE"


def _of_file(file: BatchFile, store: Store) -> tuple[str, Batch]:
    """The batch that the file is today, else the latest of its name: a trial on another model
    or an earlier version of the file."""
    batch = resolve_offline(file, store)
    if not batch.unresolved and store.exists(object_names.batch(batch.id)):
        return batch.id, batch
    batch_id = _search(batch.name, store)
    return batch_id, read_batch(store, batch_id)


def _need_last(config: FarmConfig) -> str:
    if last := LastBatch.read(config.cache_dir):
        return last.id
    raise NotFound(
        "no batch was submitted from this machine yet", hint="name one, or gridfarm submit FILE"
    )
