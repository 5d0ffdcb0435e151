"""The way back from the store: what Redis forgot, and what it was not told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from common.batch import BATCH_ID, Matrix
from common.dispatch.bitmap import bitmap_of, is_set
from common.dispatch.farm_store import FarmStore
from common.dispatch.ledger import Ledger, LedgerStatus, Opening
from common.dispatch.queues import queue_of
from common.dispatch.records import (
    Control,
    read_batch,
    read_control,
    read_done,
    read_failures,
    write_control,
)
from common.dispatch.states import UNFINISHED
from common.errors import (
    BrokerError,
    GridfarmError,
    ObjectMissing,
    StoreError,
    StoreForeign,
    StoreRefused,
)
from common.store import Store, object_names

RECONCILE_EVERY_MS = 10_000

log = logging.getLogger(__name__)


class Rebuild:
    """Makes the ledger follow the store. Raises StoreForeign where that is not the farm's."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger
        self.farm_store = FarmStore(store, ledger)
        self._complaints: dict[str, str] = {}

    def reconcile(self) -> None:
        """Make the ledger follow the store, wherever that is newer: after Redis lost its memory,
        after a producer died or lost the broker between the store and Redis."""
        if not self.ledger.broker.once("reconcile", every_ms=RECONCILE_EVERY_MS):
            return
        is_known, marked = self.farm_store.check(), self._marked()
        if marked and not is_known:
            self.farm_store.adopt()  # the broker lost everything; this is its store again
        for batch_id in sorted(marked | set(self.ledger.active())):
            with self.one_of_many(batch_id):
                self._follow_store(batch_id, marked=batch_id in marked)

    def _marked(self) -> set[str]:
        names = (
            name.removeprefix(object_names.ACTIVE) for name in self.store.list(object_names.ACTIVE)
        )
        return {name for name in names if BATCH_ID.match(name)}

    def _follow_store(self, batch_id: str, *, marked: bool) -> None:
        # The marker was read first: who orders a batch puts its control.json before the marker.
        control = read_control(self.store, batch_id)
        status = self._status(batch_id, marked=marked)
        if not marked:
            if self.forget_if_gone(batch_id):
                return
            self._drop_if_over(batch_id, control, status)
        if status and status.generation >= control.generation:
            # A cancellation was cut off before its end.
            if marked and control.state == status.state == "cancelled":
                self.store.delete(object_names.active(batch_id))
        elif control.state in UNFINISHED:
            if status and control.retried > status.generation:
                self.ledger.drop(batch_id)
                status = None
            if not self._pass_on(batch_id, control, status) and marked:
                self.reopen(batch_id)
        else:
            if not self._pass_on(batch_id, control, status):
                self.ledger.drop(batch_id)
            self.store.delete(object_names.active(batch_id))

    def _status(self, batch_id: str, *, marked: bool) -> LedgerStatus | None:
        """None where the ledger does not know the batch, or has lost a part of it."""
        status = self.ledger.status(batch_id)
        if not (marked and status and status.state in UNFINISHED) or self.ledger.mend(batch_id):
            return status
        log.warning("%s: a part of its ledger is lost; it is rebuilt from the store", batch_id)
        self.ledger.drop(batch_id)
        return None

    def _drop_if_over(self, batch_id: str, control: Control, status: LedgerStatus | None) -> None:
        """A batch that is active in the ledger alone: Redis was set back to a time when it was,
        and it was finished since. (One that is finished just now is complete, and one that was
        asked for again is of a newer generation.)"""
        if status is None or control.state != "done" or control.generation != status.generation:
            return
        if status.done + status.failed < status.total:
            self.ledger.drop(batch_id)

    def _pass_on(self, batch_id: str, control: Control, status: LedgerStatus | None) -> bool:
        """Tell the ledger what the store says; False when only a new ledger, or none, is right."""
        if status is None or control.state == "done":
            return False
        return self.ledger.control(
            batch_id,
            generation=control.generation,
            state=control.state,
            priority=control.priority,
        )

    def forget_if_gone(self, batch_id: str) -> bool:
        """Take a batch out of the ledger and of the marked ones, if it is proven that its document
        is gone: a list of the farm's own store lacks it. An answer "not there" is no proof, as a
        store whose rights were taken away gives it too, and another store does."""
        document = object_names.batch(batch_id)
        if not self.farm_store.check() or document in self.store.list(document):
            return False
        log.warning("%s was removed from the store", batch_id)
        self.store.delete(object_names.active(batch_id))
        self.ledger.drop(batch_id)
        if self.store.exists(document):  # ordered again just now; the next reconcile opens it
            self.store.put(object_names.active(batch_id), b"")
        return True

    def reopen(self, batch_id: str) -> None:
        """Rebuild one ledger from the store. What finished after the last snapshot is sent
        again; a worker finds the picture and renders nothing."""
        control = read_control(self.store, batch_id)
        control = replace(control, generation=control.generation + 1)
        matrix = Matrix(read_batch(self.store, batch_id))
        write_control(self.store, batch_id, control)
        self.load(matrix, batch_id, control)

    def load(self, matrix: Matrix, batch_id: str, control: Control) -> None:
        """Open a batch's ledger with what the store knows; one that is there already stays."""
        try:
            done = read_done(self.store, batch_id, len(matrix))
        except StoreRefused:  # of this object: then each cell's picture is looked up
            done = b""
        failures = read_failures(self.store, batch_id, len(matrix))
        self.ledger.open(opening(matrix, batch_id, control, done, failures))

    @contextmanager
    def one_of_many(self, batch_id: str) -> Iterator[None]:
        """Where one batch's documents cannot be read, the other batches go on. Raises StoreError
        where the store itself has trouble, BrokerError, and StoreForeign."""
        try:
            yield
            self._complaints.pop(batch_id, None)
        except (StoreForeign, BrokerError):
            raise
        except GridfarmError as error:
            if isinstance(error, StoreError):
                self.farm_store.probe()
            gone = isinstance(error, ObjectMissing) and self.forget_if_gone(batch_id)
            if not gone and self._complaints.get(batch_id) != error.message:
                log.warning("%s waits: %s", batch_id, error.message)
                self._complaints[batch_id] = error.message


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
        holes=bitmap_of(holes, len(matrix)) if holes else b"",
        failures={i: r for i, r in failures.items() if not is_set(done, i)},
    )
