"""How all batches of a store stand, the latest first; nothing lists a batch's cells to say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from common.batch import Matrix
from common.dispatch import Ledger, LedgerStatus, cell_of_failure, is_set, read_batch, read_done
from common.errors import BrokerEnded, BrokerError, GridfarmError, StoreError, StoreUnreachable
from common.store import Store, object_names
from producer.batches.stored_state import stored_state
from producer.catalogue import latest_first

READERS = 16
#: Shown as the state of a batch one of whose documents is damaged, of another version, or not
#: for this user to read.
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class ListedBatch:
    """One batch; counts are of jobs. Where a document cannot be read, `problem` says why, `state`
    is `unreadable` and `jobs` None; `submitted` is Unix time, 0 if nobody wrote it down."""

    batch: str
    state: str
    jobs: int | None
    done: int
    failed: int
    submitted: float
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """Some batches of the store at the URL `store`, the latest first, and how many it has."""

    batches: tuple[ListedBatch, ...]
    total: int
    store: str

    def __iter__(self) -> Iterator[ListedBatch]:
        return iter(self.batches)


def list_batches(
    store: Store,
    ledger: Ledger | None,
    most: int | None = None,
    *,
    local: Ledger | None = None,
) -> Listing:
    """The `most` batches that were submitted last; None lists all.

    Counts come from the ledger that knows the batch, that of a render on this machine (`local`)
    before the farm's, else from the store, which the workers bring up to date every 30 seconds.
    Raises StoreError and BrokerError.
    """
    times = latest_first(store)
    rows = _rows(times, store, [one for one in (local, ledger) if one])
    return Listing(tuple(islice(rows, most)), len(times), store.url)


def _rows(
    times: dict[str, float], store: Store, ledgers: Sequence[Ledger]
) -> Iterator[ListedBatch]:
    """Read as they are asked for, some at once."""
    waiting = iter(times.items())
    with ThreadPoolExecutor(READERS) as pool:
        while some := list(islice(waiting, READERS)):
            rows = pool.map(lambda one: _row(one[0], one[1], store, ledgers), some)
            yield from filter(None, rows)


def _row(
    batch_id: str, submitted: float, store: Store, ledgers: Sequence[Ledger]
) -> ListedBatch | None:
    """None for what a removal that was cut off has left."""
    try:
        if not store.exists(object_names.batch(batch_id)):
            return None
        entry = _entry(batch_id, ledgers)
        if entry is None:
            return _from_store(batch_id, submitted, store)
    except (StoreUnreachable, BrokerError):
        raise
    except GridfarmError as error:
        return ListedBatch(batch_id, UNREADABLE, None, 0, 0, submitted, error.message)
    counts = (entry.total, entry.done, entry.failed)
    return ListedBatch(batch_id, entry.shown_state, *counts, submitted)


def _entry(batch_id: str, ledgers: Sequence[Ledger]) -> LedgerStatus | None:
    for ledger in ledgers:
        with suppress(BrokerEnded):  # a render that has just come to its end
            if entry := ledger.status(batch_id):
                return entry
    return None


def _from_store(batch_id: str, submitted: float, store: Store) -> ListedBatch:
    state, _ = stored_state(batch_id, store)
    bits = read_done(store, batch_id)
    done = sum(byte.bit_count() for byte in bits)
    failed = sum(not is_set(bits, i) for i in _failed(store, batch_id))
    # What is over has settled every job, so that its cells need not be looked at.
    jobs, problem = (done + failed, "") if state == "done" else _jobs(store, batch_id)
    state = UNREADABLE if problem else state
    return ListedBatch(batch_id, state, jobs, done, failed, submitted, problem)


def _failed(store: Store, batch_id: str) -> list[int]:
    numbers = map(cell_of_failure, store.list(object_names.failures(batch_id)))
    return [number for number in numbers if number is not None]


def _jobs(store: Store, batch_id: str) -> tuple[int | None, str]:
    try:
        return Matrix(read_batch(store, batch_id)).jobs, ""
    except StoreError:
        raise
    except GridfarmError as error:
        return None, error.message
