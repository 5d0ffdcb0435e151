"""The way back from the store: what Redis forgot, and what it was not told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from common.batch import Matrix, is_batch_id
from common.dispatch.bitmap import bitmap_of, is_set
from common.dispatch.farm_store import FarmStore
from common.dispatch.ledger import LedgerStatus, Opening
from common.dispatch.queues import queue_of
from common.dispatch.records import (
    Control,
    mark_active,
    read_batch,
    read_control,
    read_done,
    read_failures,
    write_control,
)
from common.dispatch.states import UNFINISHED
from common.dispatch.turns import Turns
from common.errors import (
    BrokerError,
    GridfarmError,
    ObjectMissing,
    StoreError,
    StoreForeign,
    StoreRefused,
)
from common.store import object_names

#: A wiped broker has no turns either, so it is rebuilt as soon as somebody looks. These are for
#: what a producer wrote into the store and could not tell the broker, when nobody else missed it.
RECONCILE_EVERY_MS = 60_000
#: Batches that both know and of which nobody holds a cell are read more rarely.
RECONCILE_ALL_EVERY_MS = 900_000
#: How long one process may be at one batch before another tries.
TURN_MS = 10_000

RECONCILE, RECONCILE_ALL = "reconcile", "reconcile-all"

log = logging.getLogger(__name__)


class Rebuild:
    """Makes the ledger follow the store. Raises StoreForeign where that is not the farm's."""

    def __init__(self, farm_store: FarmStore) -> None:
        self.farm_store = farm_store
        self.store = farm_store.store
        self.ledger = farm_store.ledger
        self.turns = Turns(self.ledger.broker)
        self._complaints: dict[str, str] = {}

    def reconcile(self) -> bool:
        """Make the ledger follow the store, wherever that is newer: after Redis lost its memory,
        after a producer died or lost the broker between the store and Redis. False when it is
        not due, or somebody else's turn."""
        if not self.turns.any_due({RECONCILE: RECONCILE_EVERY_MS}):
            return False
        is_known = self.farm_store.check()  # before the turn is taken from those who may
        if not self.turns.take(RECONCILE, every_ms=TURN_MS, longest_ms=RECONCILE_EVERY_MS):
            return False
        all_of_them = self.turns.any_due({RECONCILE_ALL: RECONCILE_ALL_EVERY_MS})
        marked = self._marked()
        if marked and not is_known:
            self.farm_store.adopt()  # the broker lost everything; this is its store again
        for batch_id in sorted(self._to_be_read(marked, all_of_them=all_of_them)):
            self.turns.put_off(RECONCILE, TURN_MS)
            with self.one_of_many(batch_id):
                self._follow_store(batch_id, marked=batch_id in marked)
        if self.turns.put_off(RECONCILE, RECONCILE_EVERY_MS) and all_of_them:
            self.turns.take(RECONCILE_ALL, every_ms=RECONCILE_ALL_EVERY_MS)
        return True

    def _to_be_read(self, marked: set[str], *, all_of_them: bool) -> set[str]:
        """All, or those that only one of the two knows or somebody renders."""
        active = set(self.ledger.active())
        if all_of_them:
            return marked | active
        forgotten = {batch_id for batch_id in active if not self.ledger.known(batch_id)}
        return (marked ^ active) | forgotten | set(self.ledger.being_rendered())

    def anew(self, batch_id: str) -> None:
        """Make one batch's ledger, which has lost a part, follow the store; one process does."""
        if self.turns.take(f"anew:{batch_id}", every_ms=TURN_MS):
            marked = self.store.exists(object_names.active(batch_id))
            self._follow_store(batch_id, marked=marked)

    def doubt(self) -> None:
        """The broker was away, and nobody knows what it was not told: reconcile all soon. Of
        many that noticed, one in ten seconds is heard."""
        if self.turns.take("doubt", every_ms=TURN_MS):
            self.turns.call(RECONCILE, RECONCILE_ALL)

    def _marked(self) -> set[str]:
        names = (
            name.removeprefix(object_names.ACTIVE) for name in self.store.list(object_names.ACTIVE)
        )
        return {name for name in names if is_batch_id(name)}

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
        if status.done + status.failed < status.total or not self.ledger.sound(batch_id):
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
            mark_active(self.store, batch_id, read_control(self.store, batch_id))
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
