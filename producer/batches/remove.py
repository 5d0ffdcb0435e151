"""Take batches out of the store: cancel them, delete their pictures, then what is left of them.

The order makes a removal that is cut off safe to give again, and lets nothing come back:

1. It is cancelled (`Controller`): no cell is sent any more, a running one stops at its
   next renewal, and a rebuild skips it.
2. Pictures that no other batch has; of each the PNG last, so that none is left half deleted
   and unseen. The document is still there: it says which pictures they are.
3. The batch's own objects; `batch.json` after all but `control.json`, the ledger at the end.

A batch that is submitted in the very moments between the look at the other batches and the
deletion may lose a picture to it; submit it again to have that rendered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common.batch import ENUMERATE_UP_TO, Batch, Matrix
from common.dispatch import LEASE_MS, Ledger, read_batch
from common.errors import GridfarmError, ObjectMissing, StoreError
from common.store import Store, object_names
from producer.batches.lookup import batch_ids
from producer.submission import Progress, stored_keys

DELETERS = 16
STOPPED_AFTER_S = LEASE_MS / 1000 + 5
POLL_S = 0.25

#: Batch id → its document; None where that is gone or cannot be read.
Documents = Mapping[str, Batch | None]


@dataclass(frozen=True)
class Pictures:
    """What becomes of the stored pictures: the keys of those that `go`, how many `stay` because
    other batches have them; or `why` all of them stay, and then `stay` is None."""

    go: tuple[str, ...] = ()
    stay: int | None = 0
    why: str = ""


class _Unknown(Exception):
    """Which pictures a batch has cannot be told, and why."""


def choose_pictures(batches: Documents, store: Store, progress: Progress | None = None) -> Pictures:
    """The stored pictures of `batches`, apart from those that any other batch of the store has,
    whether that rendered them or not. Raises StoreError.

    If one batch in the store has more than ENUMERATE_UP_TO cells or cannot be read, nobody
    knows whose the pictures are, and all stay.
    """
    try:
        own = {key for id_, batch in batches.items() for key in _keys(id_, batch)}
        others = _keys_of_others(batches, store, progress)
        shared = {key for keys_ in others for key in keys_ if key in own}
    except _Unknown as unknown:
        return Pictures(stay=None, why=str(unknown))
    stored = stored_keys(sorted(own), store, progress)
    go = tuple(key for key in stored if key not in shared)
    return Pictures(go, len(stored) - len(go))


def _keys(batch_id: str, batch: Batch | None) -> Iterable[str]:
    if batch is None:
        raise _Unknown(f"the document of {batch_id} cannot be read")
    matrix = Matrix(batch)
    if len(matrix) > ENUMERATE_UP_TO:
        raise _Unknown(f"{batch_id} has {len(matrix):,} cells, too many to compare")
    try:
        return matrix.distinct.jobs if matrix.distinct else ()
    except GridfarmError as error:
        raise _Unknown(f"{batch_id}: {error.message}") from error


def _keys_of_others(
    batches: Documents, store: Store, progress: Progress | None
) -> Iterator[Iterable[str]]:
    others = [batch_id for batch_id in batch_ids(store) if batch_id not in batches]
    for count, batch_id in enumerate(others, 1):
        yield _keys_of_other(batch_id, store)
        if progress:
            progress("comparing with the other batches", count, len(others))


def _keys_of_other(batch_id: str, store: Store) -> Iterable[str]:
    try:
        return _keys(batch_id, read_batch(store, batch_id))
    except ObjectMissing:
        return ()  # what a removal that was cut off has left
    except StoreError:
        raise
    except GridfarmError as error:
        raise _Unknown(error.message) from error


def wait_until_stopped(
    batches: Collection[str], ledger: Ledger, on_wait: Callable[[int], None]
) -> None:
    """Until no cell of these cancelled batches runs; at most STOPPED_AFTER_S, since one that
    another batch waits for is finished."""
    deadline = time.monotonic() + STOPPED_AFTER_S
    while running := sum(_running(batch_id, ledger) for batch_id in batches):
        if time.monotonic() > deadline:
            return
        on_wait(running)
        time.sleep(POLL_S)


def _running(batch_id: str, ledger: Ledger) -> int:
    seen = ledger.status(batch_id)
    return seen.running if seen else 0


def remove(
    batches: Iterable[str],
    pictures: Pictures,
    store: Store,
    ledger: Ledger | None,
    progress: Progress | None = None,
) -> None:
    """Delete cancelled batches with these of their pictures. Assets stay. Raises StoreError."""
    _delete_pictures(pictures.go, store, progress)
    for batch_id in batches:
        _delete_objects(batch_id, store)
        if ledger:
            ledger.drop(batch_id)


def _delete_pictures(going: tuple[str, ...], store: Store, progress: Progress | None) -> None:
    def delete(key: str) -> None:
        for name in (
            object_names.thumbnail(key),
            object_names.sidecar(key),
            object_names.picture(key),
        ):
            store.delete(name)

    with ThreadPoolExecutor(DELETERS) as pool:
        for count, _ in enumerate(pool.map(delete, going), 1):
            if progress:
                progress("deleting pictures", count, len(going))


def _delete_objects(batch_id: str, store: Store) -> None:
    last = (object_names.batch(batch_id), object_names.control(batch_id))
    names = [name for name in store.list(f"{object_names.BATCHES}{batch_id}/") if name not in last]
    with ThreadPoolExecutor(DELETERS) as pool:
        list(pool.map(store.delete, names))
    for name in last:
        store.delete(name)
