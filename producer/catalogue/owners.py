"""Which pictures other batches have, whether they rendered them or not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from common.batch import DOCUMENT_BYTES, Batch
from common.errors import GridfarmError, ObjectMissing, StoreError
from common.store import Store, object_names
from producer.catalogue.ids import batch_ids
from producer.catalogue.key_index import KeyIndex, prefixes
from producer.catalogue.keys import UnknownKeys, keys_of
from producer.progress import ProgressCallback, show_no_progress

READERS = 16
#: So many documents are in memory at once; the largest have 32 MB.
AT_ONCE = 32


def keys_of_others(
    own: Collection[str],
    store: Store,
    *,
    besides: Collection[str] = (),
    also: Iterable[str] = (),
    progress: ProgressCallback = show_no_progress,
) -> set[str]:
    """Those of the keys `own` that any batch of the store has, apart from the batches `besides`;
    `also` are batches that a listing may not show yet. Raises StoreError, and UnknownKeys where
    a batch is too large to compare or cannot be read."""
    found = owners_of(own, store, besides=besides, also=also, progress=progress)
    return {key for keys in found.values() for key in keys}


def owners_of(
    own: Collection[str],
    store: Store,
    *,
    besides: Collection[str] = (),
    also: Iterable[str] = (),
    progress: ProgressCallback = show_no_progress,
) -> dict[str, set[str]]:
    """The same as batch id → those that it has, for each batch that has any."""
    ids = (set(batch_ids(store)) | set(also)) - set(besides)
    indexed = KeyIndex(store).read()
    short = prefixes(own)
    to_read = [id_ for id_ in sorted(ids) if id_ not in indexed or indexed[id_] & short]
    owners: dict[str, set[str]] = {}
    new: dict[str, Collection[str]] = {}
    try:
        for count, (batch_id, keys) in enumerate(_read(to_read, store), 1):
            if shared := {key for key in own if key in keys}:
                owners[batch_id] = shared
            if keys and batch_id not in indexed:
                new[batch_id] = keys
            progress("comparing with the other batches", count, len(to_read))
    finally:
        if new:
            KeyIndex(store).update(new)
    return owners


def _read(ids: Iterable[str], store: Store) -> Iterator[tuple[str, Collection[str]]]:
    """Each batch with its keys; none of one that a removal has left something of."""
    waiting = iter(ids)
    with ThreadPoolExecutor(READERS) as pool:
        while some := list(islice(waiting, AT_ONCE)):
            for batch_id, data in zip(some, pool.map(lambda i: _get(i, store), some), strict=True):
                yield batch_id, _keys(batch_id, data)


def _get(batch_id: str, store: Store) -> bytes | None:
    """None for what is not there."""
    try:
        return store.get(object_names.batch(batch_id), most=DOCUMENT_BYTES)
    except ObjectMissing:
        return None
    except StoreError:
        raise
    except GridfarmError as error:
        raise UnknownKeys(error.message) from error


def _keys(batch_id: str, data: bytes | None) -> Collection[str]:
    if data is None:
        return ()
    try:
        batch = Batch.from_bytes(data, source=object_names.batch(batch_id))
    except GridfarmError as error:
        raise UnknownKeys(error.message) from error
    return frozenset(keys_of(batch_id, batch))
