"""The way back from the store: what Redis forgot, and what it was not told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from common.batch import BATCH_ID, Matrix
from common.dispatch.bitmap import bitmap_of, is_set
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
from common.dispatch.turns import Turns
from common.errors import BrokerError, GridfarmError, ObjectMissing, StoreError
from common.store import Store, object_names

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
    """Makes the ledger follow the store."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger
        self.turns = Turns(ledger.broker)

    def reconcile(self) -> bool:
        """Make the ledger follow the store, wherever that is newer: after Redis lost its memory,
        after a producer died or lost the broker between the store and Redis. False when it is
        not due, or somebody else's turn."""
        if not self.turns.take(RECONCILE, every_ms=TURN_MS):
            return False
        all_of_them = self.turns.any_due(RECONCILE_ALL)
        names = (
            name.removeprefix(object_names.ACTIVE) for name in self.store.list(object_names.ACTIVE)
        )
        marked = {name for name in names if BATCH_ID.match(name)}
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

    def doubt(self) -> None:
        """The broker was away, and nobody knows what it was not told: reconcile all soon. Of
        many that noticed, one in ten seconds is heard."""
        if self.turns.take("doubt", every_ms=TURN_MS):
            self.turns.call(RECONCILE, RECONCILE_ALL)

    def _follow_store(self, batch_id: str, *, marked: bool) -> None:
        # The marker was read first: who orders a batch puts its control.json before the marker.
        control = read_control(self.store, batch_id)
        status = self.ledger.status(batch_id)
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

    def forget(self, batch_id: str) -> None:
        """Take a removed batch out of the ledger and of the marked ones.

        Raises StoreError, and forgets nothing, unless the store grants everything: where rights
        were taken away, what is there looks as if it were not."""
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
        """Open a batch's ledger with what the store knows; one that is there already stays."""
        done = read_done(self.store, batch_id, len(matrix))
        failures = read_failures(self.store, batch_id, len(matrix))
        self.ledger.open(opening(matrix, batch_id, control, done, failures))

    @contextmanager
    def one_of_many(self, batch_id: str) -> Iterator[None]:
        """Where one batch's documents cannot be read, the other batches go on. A batch whose
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
