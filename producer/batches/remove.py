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
from common.errors import GridfarmError, ObjectMissing, StoreError, UsageError
from common.store import Store, object_names
from producer.batches.control import Controller
from producer.batches.lookup import batch_ids
from producer.progress import ProgressCallback, Say, show_no_progress
from producer.submission import stored_keys
from producer.wording import counted

DELETERS = 16
STOPPED_AFTER_S = LEASE_MS / 1000 + 5
POLL_S = 0.25

#: Batch id → its document; None where that is gone or cannot be read.
Documents = Mapping[str, Batch | None]


@dataclass(frozen=True)
class RemovalPlan:
    """What becomes of the stored pictures of some batches: the keys of those that `go`, how many
    `stay` because other batches have them; or `why` all of them stay, and then `stay` is None."""

    batches: tuple[str, ...]
    go: tuple[str, ...] = ()
    stay: int | None = 0
    why: str = ""


@dataclass(frozen=True)
class Removal:
    """Some batches of one store, to be removed from it. `ledger` is None where no broker is
    configured."""

    batches: Documents
    store: Store
    ledger: Ledger | None
    say: Say
    progress: ProgressCallback = show_no_progress

    def check_finished(self, *, cancel: bool) -> None:
        """Raises UsageError where one of the batches is not, unless it may be cancelled."""
        marked = ((batch_id, object_names.active(batch_id)) for batch_id in self.batches)
        active = [batch_id for batch_id, marker in marked if self.store.exists(marker)]
        if active and not cancel:
            raise UsageError(
                f"not finished: {', '.join(active)}",
                hint=f"--cancel stops it first; gridfarm status {active[0]} says how it stands",
            )
        if active and not self.ledger:
            self.say("no broker is configured: a worker that renders it now is not told to stop")

    def plan(self, *, keep_pictures: bool = False) -> RemovalPlan:
        """What would be removed at this moment. Raises StoreError."""
        if keep_pictures:
            return RemovalPlan(tuple(self.batches), stay=None, why="--keep-pictures")
        return plan_removal(self.batches, self.store, self.progress)

    def run(self, *, keep_pictures: bool = False) -> RemovalPlan:
        """Cancel the batches, wait until none of their cells runs, remove them; what went.

        Raises StoreError and BrokerError; safe to be cut off anywhere and done again.
        """
        for batch_id in self.batches:
            Controller(batch_id, self.store, self.ledger).cancel()
        if self.ledger:
            wait_until_stopped(self.batches, self.ledger, self._say_waiting)
        # Looked at now, not when a person was asked: meanwhile pictures were stored and
        # batches submitted.
        plan = self.plan(keep_pictures=keep_pictures)
        delete(plan, self.store, self.ledger, self.progress)
        return plan

    def _say_waiting(self, running: int) -> None:
        self.say(f"waiting for {counted(running, 'running cell')} to stop")


class _Unknown(Exception):
    """Which pictures a batch has cannot be told, and why."""


def plan_removal(
    batches: Documents, store: Store, progress: ProgressCallback = show_no_progress
) -> RemovalPlan:
    """The stored pictures of `batches`, apart from those that any other batch of the store has,
    whether that rendered them or not. Raises StoreError.

    If one batch in the store has more than ENUMERATE_UP_TO cells or cannot be read, nobody
    knows whose the pictures are, and all stay.
    """
    try:
        own = {key for id_, batch in batches.items() for key in _keys(id_, batch)}
        others = _keys_of_others(batches, store, progress)
        shared = {key for keys in others for key in keys if key in own}
    except _Unknown as unknown:
        return RemovalPlan(tuple(batches), stay=None, why=str(unknown))
    stored = stored_keys(sorted(own), store, progress)
    go = tuple(key for key in stored if key not in shared)
    return RemovalPlan(tuple(batches), go, len(stored) - len(go))


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
    batches: Documents, store: Store, progress: ProgressCallback
) -> Iterator[Iterable[str]]:
    others = [batch_id for batch_id in batch_ids(store) if batch_id not in batches]
    for count, batch_id in enumerate(others, 1):
        yield _keys_of_other(batch_id, store)
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
    entry = ledger.status(batch_id)
    return entry.running if entry else 0


def delete(
    plan: RemovalPlan,
    store: Store,
    ledger: Ledger | None,
    progress: ProgressCallback = show_no_progress,
) -> None:
    """Delete cancelled batches with these of their pictures. Assets stay. Raises StoreError."""
    _delete_pictures(plan.go, store, progress)
    for batch_id in plan.batches:
        _delete_objects(batch_id, store)
        if ledger:
            ledger.drop(batch_id)


def _delete_pictures(going: tuple[str, ...], store: Store, progress: ProgressCallback) -> None:
    def delete_picture(key: str) -> None:
        for name in (
            object_names.thumbnail(key),
            object_names.sidecar(key),
            object_names.picture(key),
        ):
            store.delete(name)

    with ThreadPoolExecutor(DELETERS) as pool:
        for count, _ in enumerate(pool.map(delete_picture, going), 1):
            progress("deleting pictures", count, len(going))


def _delete_objects(batch_id: str, store: Store) -> None:
    last = (object_names.batch(batch_id), object_names.control(batch_id))
    names = [name for name in store.list(f"{object_names.BATCHES}{batch_id}/") if name not in last]
    with ThreadPoolExecutor(DELETERS) as pool:
        list(pool.map(store.delete, names))
    for name in last:
        store.delete(name)
