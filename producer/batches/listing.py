"""How all batches of a store stand, the latest first; nothing lists a batch's cells to say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from common.batch import Matrix
from common.dispatch import (
    Control,
    Ledger,
    cell_of_failure,
    is_set,
    read_batch,
    read_control,
    read_done,
)
from common.errors import GridfarmError, StoreError
from common.store import Store, object_names
from producer.batches.lookup import batch_ids

READERS = 16

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ListedBatch:
    """One batch; counts are of jobs. `jobs` is None for a document that cannot be read,
    `submitted` is Unix time, 0 if nobody wrote it down."""

    batch: str
    state: str
    jobs: int | None
    done: int
    failed: int
    submitted: float


@dataclass(frozen=True)
class Listing:
    """Some batches of the store at the URL `store`, the latest first, and how many it has."""

    batches: tuple[ListedBatch, ...]
    total: int
    store: str

    def __iter__(self) -> Iterator[ListedBatch]:
        return iter(self.batches)


def list_batches(store: Store, ledger: Ledger | None, most: int | None = None) -> Listing:
    """The `most` batches that were submitted last; None lists all.

    Counts come from the ledger while it knows the batch, else from the store, which the
    workers bring up to date every 30 seconds. Raises StoreError and BrokerError.
    """
    ids = batch_ids(store)
    controls = dict(zip(ids, _at_once(lambda id_: read_control(store, id_), ids), strict=True))
    latest = sorted(ids, key=lambda id_: (-controls[id_].submitted, id_))[:most]
    rows = _at_once(lambda id_: _row(id_, controls[id_], store, ledger), latest)
    return Listing(tuple(row for row in rows if row), len(ids), store.url)


def _at_once(read: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, items))


def _row(
    batch_id: str, control: Control, store: Store, ledger: Ledger | None
) -> ListedBatch | None:
    """None for what a removal that was cut off has left."""
    if not store.exists(object_names.batch(batch_id)):
        return None
    entry = ledger.status(batch_id) if ledger else None
    if entry is None:
        return _from_store(batch_id, control, store)
    counts = (entry.total, entry.done, entry.failed)
    return ListedBatch(batch_id, entry.shown_state, *counts, control.submitted)


def _from_store(batch_id: str, control: Control, store: Store) -> ListedBatch:
    bits = read_done(store, batch_id)
    done = sum(byte.bit_count() for byte in bits)
    failed = sum(not is_set(bits, i) for i in _failed(store, batch_id))
    # What is over has settled every job, so that its cells need not be looked at.
    jobs = done + failed if control.state == "done" else _jobs(store, batch_id)
    return ListedBatch(batch_id, control.state, jobs, done, failed, control.submitted)


def _failed(store: Store, batch_id: str) -> list[int]:
    numbers = map(cell_of_failure, store.list(object_names.failures(batch_id)))
    return [number for number in numbers if number is not None]


def _jobs(store: Store, batch_id: str) -> int | None:
    try:
        return Matrix(read_batch(store, batch_id)).jobs
    except StoreError:
        raise
    except GridfarmError:
        return None
