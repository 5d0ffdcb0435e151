"""The loop that feeds the queue, and the way back from the store when Redis is empty.

Every worker runs `Dispatcher.tick` on a timer, the producer at submit and while it watches;
all of it is safe to run in any number of processes at once.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import get_args

from common.batch import BATCH_ID, DOCUMENT_BYTES, MAX_CELLS, Batch, Matrix
from common.dispatch.ledger import (
    PRIORITIES,
    UNFINISHED,
    Ledger,
    LedgerStatus,
    Opening,
    State,
    bitmap,
    is_set,
)
from common.dispatch.queues import TASK_NAME, queue_of
from common.errors import BrokerError, GridfarmError, ObjectMissing, StoreError
from common.store import Store, object_names

RECONCILE_EVERY_MS = 10_000
SNAPSHOT_EVERY_MS = 30_000
FINISH_EVERY_MS = 5_000
CELLS_FILE_UP_TO = 100_000
READERS = 16
LONGEST_REASON = 4_000
#: The largest control.json or note of a failure that is read.
NOTE_BYTES = 1 << 20
#: Unix time of the year 10,000, which no calendar here reaches.
LAST_TIME = 253_402_300_800

_FAILURE = re.compile(r"/failures/(\d{1,10})\.json\Z", re.ASCII)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """What a person may change of a batch in flight; in the store before it is in Redis.

    `retried` is the generation in which failed cells were last asked for again: a ledger of an
    earlier one has failures that the store has no more. `submitted` is Unix time.
    """

    state: State = "rendering"
    generation: int = 0
    priority: int = PRIORITIES["normal"]
    submitted: float = 0.0
    retried: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be; the document may be anybody's."""
        numbers = (self.generation, self.priority, self.retried)
        if self.state not in get_args(State):
            raise ValueError(f"there is no state {self.state!r}"[:100])
        if not all(type(n) is int and 0 <= n < 2**53 for n in numbers):
            raise ValueError("generation, priority and retried are whole numbers")
        if not (type(self.submitted) in (int, float) and math.isfinite(self.submitted)):
            raise ValueError("submitted is a number")
        if not 0 <= self.submitted < LAST_TIME:
            raise ValueError(f"submitted is no Unix time: {self.submitted:g}")

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Control:
        """Raises GridfarmError for what is no control document."""
        try:
            known = asdict(cls())
            return cls(**{name: value for name, value in json.loads(data).items() if name in known})
        except (ValueError, AttributeError, RecursionError) as error:
            raise GridfarmError(
                f"a batch's control.json is damaged: {error}", hint="submit the batch file again"
            ) from error


def read_batch(store: Store, batch_id: str) -> Batch:
    name = object_names.batch(batch_id)
    return Batch.from_bytes(store.get(name, most=DOCUMENT_BYTES), source=name)


def read_control(store: Store, batch_id: str) -> Control:
    try:
        return Control.from_bytes(store.get(object_names.control(batch_id), most=NOTE_BYTES))
    except ObjectMissing:
        return Control()


def write_control(store: Store, batch_id: str, control: Control) -> None:
    store.put(object_names.control(batch_id), control.to_bytes(), content_type="application/json")


def read_failures(store: Store, batch_id: str, cells: int = MAX_CELLS) -> dict[int, str]:
    """Cell → reason, as the workers left them in the store, of a batch of so many cells."""
    listed = store.list(object_names.failures(batch_id))
    names = {i: name for name in listed if (i := cell_of_failure(name)) is not None and i < cells}
    if not names:
        return {}
    with ThreadPoolExecutor(READERS) as pool:
        reasons = pool.map(lambda name: _reason(store, name), names.values())
        found = zip(names, reasons, strict=True)
        return {i: reason for i, reason in found if reason is not None}


def _reason(store: Store, name: str) -> str | None:
    """None for a note that a retry has just taken away."""
    try:
        return str(json.loads(store.get(name, most=NOTE_BYTES))["reason"])[:LONGEST_REASON]
    except ObjectMissing:
        return None
    except StoreError:
        raise
    except (GridfarmError, ValueError, TypeError, KeyError, RecursionError):
        return "its note in failures/ is damaged"


def cell_of_failure(name: str) -> int | None:
    """Of `…/failures/<i>.json`; None for what no worker has put there."""
    found = _FAILURE.search(name)
    return int(found[1]) if found else None


def read_done(store: Store, batch_id: str, cells: int = MAX_CELLS) -> bytes:
    """The bits of a batch of so many cells; those beyond, if there are any, are nobody's."""
    try:
        data = store.get(object_names.done_bitmap(batch_id))[: (cells + 7) // 8]
    except ObjectMissing:
        return b""
    if len(data) * 8 > cells:
        data = data[:-1] + bytes([data[-1] & 0xFF << -cells % 8])
    return data


class Dispatcher:
    """Feeds `queues` from the ledger, rebuilds the ledger from the store."""

    def __init__(self, store: Store, ledger: Ledger, queues: Iterable[str]) -> None:
        self.store = store
        self.ledger = ledger
        self.queues = tuple(queues)

    def tick(self) -> None:
        """Everything that is due: rebuild, put back what is lost, feed, snapshot, finish."""
        self.reconcile()
        for queue in self.queues:
            self.ledger.sweep(queue)
        self.feed()
        for batch_id in self.ledger.active():
            self._look_after(batch_id)

    def feed(self) -> int:
        return self.ledger.feed(self.queues, TASK_NAME)

    def reconcile(self) -> None:
        """Make the ledger follow the store, wherever that is newer: after Redis lost its memory,
        after a producer died or lost the broker between the store and Redis."""
        if not self.ledger.once("reconcile", every_ms=RECONCILE_EVERY_MS):
            return
        names = (
            name.removeprefix(object_names.ACTIVE) for name in self.store.list(object_names.ACTIVE)
        )
        marked = {name for name in names if BATCH_ID.match(name)}
        for batch_id in sorted(marked | set(self.ledger.active())):
            with self._one_of_many(batch_id):
                self._follow_store(batch_id, marked=batch_id in marked)

    def _follow_store(self, batch_id: str, *, marked: bool) -> None:
        # The marker was read first: who orders a batch puts its control.json before the marker.
        control = read_control(self.store, batch_id)
        seen = self.ledger.status(batch_id)
        if seen and seen.generation >= control.generation:
            # A cancellation was cut off before its end.
            if marked and control.state == seen.state == "cancelled":
                self.store.delete(object_names.active(batch_id))
        elif control.state in UNFINISHED:
            if seen and control.retried > seen.generation:
                self.ledger.drop(batch_id)
                seen = None
            if not self._tell(batch_id, control, seen) and marked:
                self.reopen(batch_id)
        else:
            if not self._tell(batch_id, control, seen):
                self.ledger.drop(batch_id)
            self.store.delete(object_names.active(batch_id))

    def _tell(self, batch_id: str, control: Control, seen: LedgerStatus | None) -> bool:
        """False when only a new ledger, or none, is right."""
        if seen is None or control.state == "done":
            return False
        return self.ledger.control(
            batch_id,
            generation=control.generation,
            state=control.state,
            priority=control.priority,
        )

    @contextmanager
    def _one_of_many(self, batch_id: str) -> Iterator[None]:
        """Where one batch's documents cannot be read, the other batches go on. One whose
        document is gone was removed: neither marker nor ledger outlives it."""
        try:
            yield
        except ObjectMissing as error:
            log.warning("%s was removed from the store: %s", batch_id, error.message)
            self.forget(batch_id)
        except (StoreError, BrokerError):
            raise
        except GridfarmError as error:
            log.warning("%s: %s", batch_id, error.message)

    def forget(self, batch_id: str) -> None:
        """Raises StoreError, and forgets nothing, unless the store grants everything: where
        rights were taken away, what is there looks as if it were not."""
        self.store.probe()
        self.store.delete(object_names.active(batch_id))
        self.ledger.drop(batch_id)

    def reopen(self, batch_id: str) -> None:
        """Rebuild one ledger from the store. What finished after the last snapshot is sent
        again; a worker finds the picture and renders nothing."""
        control = read_control(self.store, batch_id)
        control = replace(control, generation=control.generation + 1)
        matrix = Matrix(read_batch(self.store, batch_id))
        write_control(self.store, batch_id, control)
        self.load(matrix, batch_id, control)

    def load(self, matrix: Matrix, batch_id: str, control: Control) -> None:
        """Open a ledger with what the store knows; one that is there already stays."""
        done = read_done(self.store, batch_id, len(matrix))
        failures = read_failures(self.store, batch_id, len(matrix))
        self.ledger.open(opening(matrix, batch_id, control, done, failures))

    def _look_after(self, batch_id: str) -> None:
        status = self.ledger.status(batch_id)
        if status is None:
            return  # Redis was wiped a moment ago; the next reconcile rebuilds it
        if status.done + status.failed >= status.total:
            with self._one_of_many(batch_id):
                self.finish(batch_id)
        elif self.ledger.once(f"snapshot:{batch_id}", every_ms=SNAPSHOT_EVERY_MS):
            self.snapshot(batch_id)

    def snapshot(self, batch_id: str) -> None:
        """Copy the done bits into the store; never those of a ledger that was just wiped."""
        data = self.ledger.done_bitmap(batch_id)
        if not self.ledger.known(batch_id):
            return
        self.store.put(
            object_names.done_bitmap(batch_id), data, content_type="application/octet-stream"
        )

    def finish(self, batch_id: str) -> None:
        """Write down how the batch ended. Safe to be cut off anywhere and done again: the
        marker `active/<id>` goes last but for Redis."""
        if not self.ledger.once(f"finish:{batch_id}", every_ms=FINISH_EVERY_MS):
            return
        self.snapshot(batch_id)
        self._write_cells(batch_id)
        control = read_control(self.store, batch_id)
        write_control(self.store, batch_id, replace(control, state="done"))
        self.store.delete(object_names.active(batch_id))
        if not self.ledger.finish(batch_id):
            self._go_on(batch_id, control)

    def _go_on(self, batch_id: str, control: Control) -> None:
        """A person asked for failed cells again while the end was written down."""
        if seen := self.ledger.status(batch_id):
            control = replace(
                control, state=seen.state, generation=seen.generation, priority=seen.priority
            )
            write_control(self.store, batch_id, control)
            self.store.put(object_names.active(batch_id), b"")

    def _write_cells(self, batch_id: str) -> None:
        try:
            matrix = Matrix(read_batch(self.store, batch_id))
        except StoreError:
            raise
        except GridfarmError as error:
            log.warning("%s: no cells.jsonl: %s", batch_id, error.message)
            return
        if len(matrix) > CELLS_FILE_UP_TO:
            return
        failures = self.ledger.failures(batch_id)
        lines = (
            {"i": i, "key": _key(matrix, i), "labels": matrix.labels(i), "failed": failures.get(i)}
            for i in matrix.numbers()
        )
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self.store.put(
            object_names.cells(batch_id), text.encode(), content_type="application/jsonl"
        )


def _key(matrix: Matrix, i: int) -> str | None:
    """None for a cell that cannot be, and has failed with that reason."""
    try:
        cell = matrix[i]
    except GridfarmError:
        return None
    return cell.key if cell else None


def opening(
    matrix: Matrix, batch_id: str, control: Control, done: bytes, failures: dict[int, str]
) -> Opening:
    """A batch as it enters the ledger; holes are known up to ENUMERATE_UP_TO cells."""
    holes = matrix.distinct.holes if matrix.distinct else frozenset[int]()
    return Opening(
        batch_id=batch_id,
        queue=queue_of(matrix.batch),
        length=len(matrix),
        total=matrix.jobs,
        order=matrix.order,
        generation=control.generation,
        state=control.state,
        priority=control.priority,
        done=done,
        holes=bitmap(holes, len(matrix)) if holes else b"",
        failures={i: r for i, r in failures.items() if not is_set(done, i)},
    )


def new_control() -> Control:
    return Control(submitted=time.time())
