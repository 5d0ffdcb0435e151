"""Freeze a batch in the store, open its ledger, feed the queue.

The store comes first at each step: a producer that dies halfway leaves either nothing that
counts or an active batch that any worker opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from common import keys
from common.dispatch import (
    Control,
    Dispatcher,
    new_control,
    opening,
    read_control,
    read_done,
    read_failures,
    write_control,
)
from common.ledger import Ledger, State, bitmap, is_set
from common.matrix import Matrix
from common.queue import queue_of
from common.store import Store
from producer.resolve import Resolved

LOOKERS = 16
Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much is done and of how much."""


@dataclass(frozen=True)
class SubmitReport:
    """`queued` is what is still to be rendered; all counts but `cells` are of jobs."""

    batch: str
    cells: int
    jobs: int
    queued: int
    stored: int


@dataclass(frozen=True)
class Stored:
    """What the store has of a batch: a done bitmap, and how many jobs that are."""

    done: bytes
    count: int


def look_up(
    matrix: Matrix, batch_id: str, store: Store, progress: Progress | None = None
) -> Stored:
    """Which jobs have a picture already. Up to ENUMERATE_UP_TO cells each key is looked up;
    above that the batch's own `done.bitmap` is all that is known."""
    if matrix.distinct is None:
        data = read_done(store, batch_id)
        return Stored(data, sum(byte.bit_count() for byte in data))
    jobs = matrix.distinct.jobs
    there = [jobs[key] for key in stored_keys(jobs, store, progress)]
    return Stored(bitmap(there, len(matrix)) if there else b"", len(there))


def stored_keys(wanted: Iterable[str], store: Store, progress: Progress | None = None) -> list[str]:
    """Those of the keys that have a picture."""
    listed = list(wanted)
    found = []
    with ThreadPoolExecutor(LOOKERS) as pool:
        answers = pool.map(lambda key: store.exists(keys.picture(key)), listed)
        for count, (key, there) in enumerate(zip(listed, answers, strict=True), 1):
            if there:
                found.append(key)
            if progress:
                progress("looking for stored pictures", count, len(listed))
    return found


def upload(assets: dict[str, Path | bytes], store: Store, progress: Progress | None = None) -> None:
    """Put the assets that the store lacks. Their name is their content, so none is put twice."""
    for count, (sha256, content) in enumerate(assets.items(), 1):
        name = keys.asset(sha256)
        if not store.exists(name):
            if isinstance(content, Path):
                store.put_file(name, content)
            else:
                store.put(name, content, content_type="application/json")
        if progress:
            progress("uploading models and LoRAs", count, len(assets))


def submit(
    resolved: Resolved, store: Store, ledger: Ledger, progress: Progress | None = None
) -> SubmitReport:
    """Order the batch: the same file twice is one batch, and only what is new is rendered.

    Resumes a cancelled batch, never retries failed cells. Raises StoreError and BrokerError.
    """
    ledger.ping()
    batch, matrix = resolved.batch, Matrix(resolved.batch)
    upload(resolved.assets, store, progress)
    stored = look_up(matrix, batch.id, store, progress)
    failures = {
        i: reason
        for i, reason in read_failures(store, batch.id).items()
        if not is_set(stored.done, i)
    }
    queued = max(0, matrix.jobs - stored.count - len(failures))
    report = SubmitReport(batch.id, matrix.cells, matrix.jobs, queued, stored.count)
    Order(matrix, store, ledger, stored.done, failures).place(queued)
    return report


@dataclass
class Order:
    """One batch on its way into the store and the ledger."""

    matrix: Matrix
    store: Store
    ledger: Ledger
    done: bytes
    failures: dict[int, str]

    def place(self, queued: int) -> None:
        batch_id = self.matrix.batch.id
        status = self.ledger.status(batch_id)
        under_way = status is not None and status.state in ("rendering", "paused")
        if not under_way or self._lost_its_marker(batch_id):
            self._write(batch_id, finished=queued == 0)
            self.ledger.drop(batch_id)
        if queued:
            self._open(batch_id)
        self._feed()

    def _lost_its_marker(self, batch_id: str) -> bool:
        """Another store than the one the ledger was filled from, or one that was emptied."""
        return not self.store.exists(keys.active(batch_id))

    def _write(self, batch_id: str, *, finished: bool) -> None:
        control = self._next_control(batch_id, finished)
        self.store.put(keys.batch(batch_id), self.matrix.batch.to_bytes())
        self.store.put(keys.done_bitmap(batch_id), self.done)
        write_control(self.store, batch_id, control)
        if not finished:
            self.store.put(keys.active(batch_id), b"")

    def _next_control(self, batch_id: str, finished: bool) -> Control:
        fresh = not self.store.exists(keys.control(batch_id))
        control = new_control() if fresh else read_control(self.store, batch_id)
        state: State = "done" if finished else "rendering"
        generation = control.generation + (0 if fresh else 1)
        return replace(new_control(), state=state, generation=generation, priority=control.priority)

    def _open(self, batch_id: str) -> None:
        control = read_control(self.store, batch_id)
        self.ledger.open(opening(self.matrix, batch_id, control, self.done, self.failures))

    def _feed(self) -> None:
        Dispatcher(self.store, self.ledger, [queue_of(self.matrix.batch)]).feed()
