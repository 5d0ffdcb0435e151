"""Freeze a batch in the store, open its ledger, feed the queue.

The store comes first at each step, and there the document: from then on no removal takes the
batch's pictures, those that are stored already too (`producer.removal`). A producer that dies
halfway leaves an active batch that any worker opens, or a document alone: such a batch is shown as
`submitting`, and the same file submitted again completes it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

from common.batch import Matrix
from common.dispatch import (
    UNFINISHED,
    Control,
    Dispatcher,
    FarmStore,
    Ledger,
    LedgerStatus,
    State,
    is_set,
    mark_active,
    new_control,
    opening,
    queue_of,
    read_control_if_any,
    read_failures,
    write_control,
)
from common.errors import BrokerError, GridfarmError, StoreError
from common.store import Store, object_names, read_store_id
from producer.catalogue import KeyIndex, forget_latest, note_latest
from producer.listeners import Listeners
from producer.progress import ProgressCallback, Say, say_nothing, show_no_progress
from producer.removal import protect_pictures
from producer.submission.resolve import Resolved
from producer.submission.stored import stored_jobs
from producer.submission.stored_document import check_document
from producer.submission.uploads import upload
from producer.wording import counted

#: What a batch has as long as it is not removed; whoever cleans up after a removal deletes them.
LASTING = (object_names.batch, object_names.control)


@dataclass(frozen=True)
class SubmitReport:
    """`queued` is what is still to be rendered; all counts but `cells` are of jobs. `state` is
    `paused` where the batch was under way and paused before; it stays so. `hold_ups` says in a line
    each what it waits for: that no worker could take it, or which are paused, and why."""

    batch: str
    cells: int
    jobs: int
    queued: int
    stored: int
    state: State = "rendering"
    hold_ups: tuple[str, ...] = field(default=(), compare=False)

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.queued == 0:
            return f"{self.batch}: nothing to render, {self.stored:,} of {self.jobs:,} stored"
        already = f", {self.stored:,} stored already" if self.stored else ""
        paused = f"; it is paused: gridfarm resume {self.batch}" if self.state == "paused" else ""
        return f"{self.batch}: {counted(self.queued, 'picture')} to render{already}{paused}"


def submit(
    resolved: Resolved,
    store: Store,
    ledger: Ledger,
    progress: ProgressCallback = show_no_progress,
    *,
    priority: int | None = None,
    say: Say = say_nothing,
) -> SubmitReport:
    """Order the batch: the same file twice is one batch, and only what is new is rendered.

    Resumes a cancelled batch, never retries failed cells; one that is under way stays as it is
    but for its `priority`, if one is given. Waits for removals of the pictures that it has,
    which is said. Raises StoreError and BrokerError, and UsageError, before anything has changed,
    where the store has another batch under this one's id.
    """
    matrix = Matrix(resolved.batch)
    check_document(resolved.batch, store, say)
    farm_store = FarmStore(store, ledger)
    before = farm_store.other_url()
    farm_store.adopt()
    if before:
        say(f"the farm's store is now {store.url}, and was {before}: who still has that one waits")
    upload(resolved.assets, store, progress)
    while True:
        protect_pictures(matrix, store, ledger, say, progress)
        report = _ordered(matrix, store, ledger, progress, priority)
        if all(store.exists(name(report.batch)) for name in LASTING):
            break
        say(f"{report.batch} was removed meanwhile, and is ordered again")
    if matrix.distinct:
        KeyIndex(store).update({report.batch: matrix.distinct.jobs})
    return replace(report, hold_ups=_hold_ups(matrix, store, ledger)) if report.queued else report


def _hold_ups(matrix: Matrix, store: Store, ledger: Ledger) -> tuple[str, ...]:
    """None where broker or store do not say: the order is placed all the same."""
    with suppress(BrokerError, StoreError):
        listeners = Listeners.of(queue_of(matrix.batch), ledger.workers.alive())
        unsure = listeners.with_other_names(store.url, read_store_id(store) or "")
        return (*listeners.hold_ups, *unsure)
    return ()


def _ordered(
    matrix: Matrix,
    store: Store,
    ledger: Ledger,
    progress: ProgressCallback,
    priority: int | None,
) -> SubmitReport:
    batch = matrix.batch
    order = _Order(matrix, store, ledger, priority)
    order.note()
    stored = stored_jobs(matrix, batch.id, store, progress)
    failures = {
        i: reason
        for i, reason in read_failures(store, batch.id, len(matrix)).items()
        if not is_set(stored.done, i)
    }
    queued = max(0, matrix.jobs - stored.count - len(failures))
    state = order.place(queued, stored.done, failures)
    return SubmitReport(batch.id, matrix.cells, matrix.jobs, queued, stored.count, state)


@dataclass
class _Order:
    """One batch on its way into the store and the ledger."""

    matrix: Matrix
    store: Store
    ledger: Ledger
    priority: int | None
    fresh: Control = field(init=False)

    def __post_init__(self) -> None:
        self.fresh = new_control(local=self.ledger.is_local)

    @property
    def batch_id(self) -> str:
        return self.matrix.batch.id

    def note(self) -> None:
        """That it comes, for whoever lists the batches meanwhile."""
        if self._before() is None:
            note_latest(self.store, self.batch_id, self.fresh.submitted)

    def place(self, queued: int, done: bytes, failures: dict[int, str]) -> State:
        """The state that the batch then is in."""
        before = self._before()
        status = self.ledger.status(self.batch_id)
        if before is None or not self._under_way(before, status) or (status is None and not queued):
            control = self._begin(before, done, finished=not queued)
        elif status is None or self.priority not in (None, before.priority):
            control = self._change(before)
        else:
            control = before
        if queued:
            self.ledger.open(opening(self.matrix, self.batch_id, control, done, failures))
        Dispatcher(self.store, self.ledger, [queue_of(self.matrix.batch)]).feed()
        return control.state

    def _before(self) -> Control | None:
        try:
            return read_control_if_any(self.store, self.batch_id)
        except StoreError:
            raise
        except GridfarmError:  # damaged, and written anew now
            return None

    def _under_way(self, before: Control, status: LedgerStatus | None) -> bool:
        """Without its marker the ledger was filled from another store, or from one that was
        emptied since."""
        if before.state not in UNFINISHED or before.local != self.ledger.is_local:
            return False
        if before.local:
            return status is not None and status.state in UNFINISHED
        known = status is None or status.state in UNFINISHED
        return known and self.store.exists(object_names.active(self.batch_id))

    def _begin(self, before: Control | None, done: bytes, *, finished: bool) -> Control:
        control = self._next(before, state="done" if finished else "rendering")
        self.store.put(object_names.done_bitmap(self.batch_id), done)
        self._forget_flaws(done)
        note_latest(self.store, self.batch_id, control.submitted)
        write_control(self.store, self.batch_id, control)
        if before and before.submitted < control.submitted:
            forget_latest(self.store, self.batch_id, before.submitted)
        if not finished:
            mark_active(self.store, self.batch_id, control)
        self.ledger.drop(self.batch_id)
        return control

    def _forget_flaws(self, done: bytes) -> None:
        """What was found wrong with pictures that are not there, and so are rendered now."""
        noted = set(self.store.list(object_names.flaws(self.batch_id)))
        jobs = self.matrix.distinct.jobs.values() if noted and self.matrix.distinct else ()
        for i in jobs:
            name = object_names.flaw(self.batch_id, i)
            if name in noted and not is_set(done, i):
                self.store.delete(name)

    def _change(self, before: Control) -> Control:
        """Redis forgot the batch, or its priority is another now."""
        control = replace(self._next(before, state=before.state), submitted=before.submitted)
        write_control(self.store, self.batch_id, control)
        self.ledger.control(
            self.batch_id,
            generation=control.generation,
            state=control.state,
            priority=control.priority,
        )
        return control

    def _next(self, before: Control | None, *, state: State) -> Control:
        control = replace(self.fresh, state=state)
        if before:
            generation = before.generation + 1
            control = replace(control, generation=generation, priority=before.priority)
        return control if self.priority is None else replace(control, priority=self.priority)
