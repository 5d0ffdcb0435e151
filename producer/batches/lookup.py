"""Which batch of a store is meant by an id, its prefix, a name, @last, or a batch file."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from common.batch import Batch, Matrix, is_batch_id, slug
from common.config import FarmConfig
from common.dispatch import read_batch
from common.errors import NotFound
from common.store import Store, object_names
from producer.catalogue import batch_ids, latest_first, remembered
from producer.language import BatchFile
from producer.progress import Say, say_nothing
from producer.submission import resolve_offline

#: The word for the batch of a store that was rendered or submitted last from this machine.
LAST = "@last"
#: So many batches are named to somebody who means none of them.
NAMED = 5


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


def find_batch(
    batch: str | BatchFile, store: Store, config: FarmConfig, say: Say = say_nothing
) -> tuple[str, Batch]:
    """(id, document) of the batch that a word or a batch file names; `say` is told where a name is
    that of several. Raises NotFound."""
    if isinstance(batch, BatchFile):
        return _of_file(batch, store, config)
    if batch == LAST:
        batch_id = _last(store, config)
        return batch_id, read_batch(store, batch_id)
    # Some file systems, and what was copied from them, write é as two characters.
    word = unicodedata.normalize("NFC", batch)
    if is_batch_id(word) and store.exists(object_names.batch(word)):
        return word, read_batch(store, word)
    batch_id = _search(word, store, config, say)
    return batch_id, read_batch(store, batch_id)


def _search(word: str, store: Store, config: FarmConfig, say: Say = say_nothing) -> str:
    ids = batch_ids(store)
    named = [*_whole(store, (id_ for id_ in ids if _is_named(word, id_)))]
    if len(named) == 1:
        return named[0]
    if named:
        last = next(iter(latest_first(store, named)))
        say(f"{len(named)} batches are called {word}, trials too; the last is {last}")
        return last
    begun = [*_whole(store, (id_ for id_ in ids if id_.startswith(word)))]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise NotFound(
            f"{word!r} begins several batches: {', '.join(begun[:8])}", hint="write more of the id"
        )
    raise NotFound(
        f"the store at {store.url} has no batch {word!r}",
        hint=_what_is_left(word, ids)
        or _elsewhere(store, config, word)
        or _suggest(word, ids, store),
    )


def _is_named(word: str, batch_id: str) -> bool:
    return batch_id.rpartition("-")[0] == slug(word)


def _last(store: Store, config: FarmConfig) -> str:
    """The batch of this store that was ordered last from this machine; of a store that only
    renders of this machine use, the last."""
    ordered = [last.id for last in remembered(config.cache_dir) if last.is_in(store)]
    ids = ordered if config.store else [*ordered, *latest_first(store)]
    if there := next(_whole(store, ids), None):
        return there
    raise NotFound(
        f"no batch of the store at {store.url} was ordered from this machine"
        + (f", but {ordered[0]}, which is not there any more" if ordered else ""),
        hint=_elsewhere(store, config) or "name one, or gridfarm submit FILE",
    )


def _elsewhere(store: Store, config: FarmConfig, word: str = "") -> str:
    """Where the batch of that name, or the last one, is, if it was ordered from this machine."""
    for last in remembered(config.cache_dir):
        if not last.is_in(store) and (_is_named(word, last.id) or last.id.startswith(word)):
            return last.where
    return ""


def _whole(store: Store, ids: Iterable[str]) -> Iterator[str]:
    """Those that have their document, looked for as they are asked for."""
    return (batch_id for batch_id in ids if store.exists(object_names.batch(batch_id)))


def _what_is_left(word: str, ids: Iterable[str]) -> str:
    """Of a batch without its document, whose removal was cut off; "" where it is not meant."""
    left = [id_ for id_ in ids if id_.startswith(word) or _is_named(word, id_)]
    return f"what a removal has left of it goes with: gridfarm rm {left[0]}" if left else ""


def _suggest(word: str, ids: list[str], store: Store) -> str:
    near = [*_whole(store, difflib.get_close_matches(word, ids, n=3, cutoff=0.5))]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if some := [*islice(_whole(store, ids), NAMED + 1)]:
        return f"it has {', '.join(some[:NAMED])}{' …' if len(some) > NAMED else ''}"
    return "it has no batches yet: gridfarm render FILE, or gridfarm submit FILE to a farm"


def _of_file(file: BatchFile, store: Store, config: FarmConfig) -> tuple[str, Batch]:
    """The batch that the file is today, else the latest of its name: a trial on another model
    or an earlier version of the file."""
    batch = resolve_offline(file, store, config.cache_dir)
    if not batch.unresolved and store.exists(object_names.batch(batch.id)):
        return batch.id, batch
    batch_id = _search(batch.name, store, config)
    return batch_id, read_batch(store, batch_id)
