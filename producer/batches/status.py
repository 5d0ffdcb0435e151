"""How a batch stands, once or again and again. Draws nothing: the caller does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from common.batch import Batch, Matrix
from common.dispatch import (
    Dispatcher,
    Ledger,
    LedgerStatus,
    WorkerReport,
    is_set,
    queue_of,
    read_failures,
)
from common.errors import (
    BrokerAway,
    BrokerEnded,
    BrokerError,
    NotFound,
    StoreError,
    StoreForeign,
    UsageError,
)
from common.store import Store, object_names
from producer.batches.absence import Absence
from producer.batches.priority import priority_name
from producer.batches.stored_state import STOPPED, stored_state
from producer.listeners import Listeners
from producer.pictures import read_flaws, standing_flaws
from producer.progress import Say, say_nothing
from producer.submission import stored_jobs

#: Between two looks of `follow`.
POLL_S = 0.25
#: Between two rebuilds of what Redis forgot.
TICK_EVERY_S = 5.0
#: `follow` gives up when every worker has been paused for so long.
PAUSED_FOR_S = 300.0
MOST_FAILURES = 1_000


@dataclass(frozen=True)
class Status:
    """One look at a batch; counts are of jobs. `state` is `submitting` (or that was cut off),
    `queued` (nobody has begun), `rendering`, `paused`, `stopped` (a render on somebody's machine,
    before its end), `cancelled` or `done`. `failures` has at most MOST_FAILURES entries `{"i",
    "labels", "reason"}`. `listening` are the workers that take this batch's queue, `others` those
    that do not, `priority` is `high`, `normal` or `low`."""

    batch: str
    state: str
    jobs: int
    done: int
    failed: int
    running: int
    waiting: int
    workers: int
    failures: list[dict[str, object]] = field(default_factory=list)
    listening: tuple[WorkerReport, ...] = field(default=(), repr=False)
    others: tuple[WorkerReport, ...] = field(default=(), repr=False)
    #: What the batch is fed to; "" where no broker was asked who listens.
    queue: str = ""
    #: It is of a render on this machine.
    local: bool = False
    priority: str = "normal"
    #: Why the workers cannot read the batch, so that they leave it alone for now; "" if they can.
    aside: str = ""
    #: Of `done`, pictures that the workers found stored instead of rendering them.
    found: int = 0

    @property
    def over(self) -> bool:
        return self.state in ("done", "cancelled")

    @property
    def listeners(self) -> Listeners | None:
        if not self.queue:
            return None
        return Listeners(self.queue, self.listening, self.others, local=self.local)

    @property
    def waits_for(self) -> str:
        """What kind of worker is missing, and who listens instead: `a worker on CUDA (noise: cuda);
        2 listen on the CPU`. "" where there is one, or nobody was asked."""
        return self.listeners.waits_for if self.listeners and not self.over else ""

    def but_for(self, flaws: list[dict[str, object]], *, count: int, counted_done: int) -> Status:
        """With `count` pictures as failed cells, of which `counted_done` were counted as done;
        `flaws` are at least the first MOST_FAILURES of them, as in `failures`."""
        failures = sorted([*self.failures, *flaws], key=_number)
        return replace(
            self,
            done=self.done - counted_done,
            failed=self.failed + count,
            waiting=max(0, self.waiting - count + counted_done),
            failures=failures[:MOST_FAILURES],
        )


class StatusWatcher:
    """Looks at one batch, in the ledger while it has it, else in the store."""

    def __init__(
        self,
        batch_id: str,
        batch: Batch,
        store: Store,
        ledger: Ledger | None,
        say: Say = say_nothing,
    ) -> None:
        self.say = say
        self.batch_id = batch_id
        self.matrix = Matrix(batch)
        self.store = store
        self.ledger = ledger
        self.queue = queue_of(batch)

    def status(self) -> Status:
        """With the pictures that were found damaged, or not there any more, as failed cells.
        Raises StoreError; a broker that is away is no error here, the store answers."""
        return self._with_flaws(self.look())

    def look(self) -> Status:
        """`status` as it was counted, with what failed in rendering alone."""
        try:
            entry = self.ledger.status(self.batch_id) if self.ledger else None
            return self._from_ledger(entry) if entry else self._from_store(self._listeners())
        except BrokerAway:
            return self._from_store()

    def follow(self) -> Iterator[Status]:
        """A Status whenever something may have changed, the last one when the batch is over; only
        that which the store knows without a ledger.

        Rebuilds the ledger if Redis forgot it; says when the broker does not answer, and when it
        does again. Raises StoreError when every worker has been paused for five minutes,
        StoreForeign when the farm has moved to another store, BrokerError when the broker stays
        away for a minute, BrokerEnded when the render on this machine that was watched has ended
        before the batch has, NotFound when the batch was removed, and UsageError without a ledger
        for a batch that is not over.
        """
        if self.ledger is None:
            yield self._without_a_ledger()
            return
        dispatcher = Dispatcher(self.store, self.ledger, [self.queue])
        absence, next_tick = Absence(self.say), 0.0
        while True:
            now = time.monotonic()
            try:
                status = self._look_while_there()
                # What is over needs nothing of a broker that takes nothing any more.
                if now >= next_tick and not status.over:
                    self._tick(dispatcher)
                    next_tick = now + TICK_EVERY_S
                    status = self._look_while_there()
                absence.over()
            except BrokerEnded:
                # A render on this machine, watched by another process, ended with its broker.
                status = self._from_store()
                if not status.over:
                    raise
            except BrokerError as error:
                absence.goes_on(error, since=now)
                time.sleep(1)
                continue
            if status.over:
                with suppress(StoreError, BrokerAway):
                    status = self._with_flaws(status)
                yield status
                return
            yield status
            _give_up_if_all_paused(status)
            time.sleep(POLL_S)

    def _without_a_ledger(self) -> Status:
        status = self.status()
        if not (status.over or status.state == STOPPED):
            raise UsageError(
                f"no broker is configured, and {self.batch_id} is not over",
                hint="a farm's broker is named with --broker or GRIDFARM_BROKER",
            )
        return status

    @staticmethod
    def _tick(dispatcher: Dispatcher) -> None:
        """The workers say so when the store is away; the ledger still answers. That of another
        store's farm does not."""
        try:
            dispatcher.tick()
        except StoreForeign:
            raise
        except StoreError:
            pass

    def _look_while_there(self) -> Status:
        """`look`, but raises BrokerError, and NotFound for a batch that was removed, which would
        look as if nobody had rendered anything of it yet."""
        assert self.ledger
        entry = self.ledger.status(self.batch_id)
        if entry:
            return self._from_ledger(entry)
        status = self._from_store(self._listeners())
        if not self.store.exists(object_names.batch(self.batch_id)):
            raise NotFound(f"the batch {self.batch_id} was removed")
        if self.ledger.is_local and not status.over:
            raise BrokerEnded(
                f"the render of {self.batch_id} on this machine has ended",
                hint="the same gridfarm render goes on",
            )
        return status

    def _from_ledger(self, entry: LedgerStatus) -> Status:
        assert self.ledger
        reasons = self._reasons() if entry.failed else {}
        return Status(
            batch=self.batch_id,
            state=entry.shown_state,
            jobs=entry.total,
            done=entry.done,
            failed=entry.failed,
            running=entry.running,
            waiting=max(0, entry.total - entry.done - entry.failed - entry.running),
            failures=self._failures(reasons),
            priority=priority_name(entry.priority),
            aside=entry.aside,
            found=entry.found,
            **_who(self._listeners()),
        )

    def _listeners(self) -> Listeners | None:
        if self.ledger is None:
            return None
        listeners = Listeners.of(self.queue, self.ledger.workers.alive())
        return replace(listeners, local=self.ledger.is_local)

    def _reasons(self) -> dict[int, str]:
        assert self.ledger
        return self.ledger.failures(self.batch_id, most=MOST_FAILURES)

    def _from_store(self, listeners: Listeners | None = None) -> Status:
        stored = stored_jobs(self.matrix, self.batch_id, self.store)
        failures = read_failures(self.store, self.batch_id, len(self.matrix))
        reasons = {i: reason for i, reason in failures.items() if not is_set(stored.done, i)}
        state, control = stored_state(self.batch_id, self.store)
        jobs, done, failed = self.matrix.jobs, stored.count, len(reasons)
        return Status(
            batch=self.batch_id,
            state=state,
            jobs=jobs,
            done=done,
            failed=failed,
            running=0,
            waiting=max(0, jobs - done - failed),
            failures=self._failures(reasons),
            priority=priority_name(control.priority),
            **_who(listeners),
        )

    def _with_flaws(self, status: Status) -> Status:
        """What is being rendered again is no flaw any more, whatever was noted, and neither is
        what was drawn again."""
        notes = read_flaws(self.store, self.batch_id, len(self.matrix))
        if not notes:
            return status
        bits, over = self._done_bits(), status.state == "done"
        failed = {_number(failure) for failure in status.failures}
        shown = {i: notes[i] for i in notes.keys() - failed if over or is_set(bits, i)}
        flaws = standing_flaws(shown, self.matrix, self.batch_id, self.store)
        counted_done = sum(is_set(bits, i) for i in flaws)
        listed = self._failures(flaws)
        return status.but_for(listed, count=len(flaws), counted_done=counted_done)

    def _done_bits(self) -> bytes:
        with suppress(BrokerAway):
            if self.ledger and self.ledger.known(self.batch_id):
                return self.ledger.done_bitmap(self.batch_id)
        return stored_jobs(self.matrix, self.batch_id, self.store).done

    def _failures(self, reasons: dict[int, str]) -> list[dict[str, object]]:
        return [
            {"i": i, "labels": self.matrix.labels(i), "reason": reasons[i]}
            for i in sorted(reasons)[:MOST_FAILURES]
        ]


def _who(listeners: Listeners | None) -> dict[str, Any]:
    """The fields of a Status that say who listens."""
    if listeners is None:
        return {"workers": 0}
    able, others = listeners.able, listeners.others
    return {
        "workers": len(able), "listening": able, "others": others, "queue": listeners.queue,
        "local": listeners.local,
    }  # fmt: skip


def _number(failure: dict[str, object]) -> int:
    return cast(int, failure["i"])


def changes(statuses: Iterable[Status]) -> Iterator[Status]:
    """Those that differ from the one before in more than how long a worker has done what it
    does, or what workers do that have no part in it."""
    before = None
    for status in statuses:
        workers = tuple(replace(worker, lasts_s=0.0) for worker in status.listening)
        now = replace(status, listening=workers, others=()), status.waits_for
        if now != before:
            yield status
        before = now


def _give_up_if_all_paused(status: Status) -> None:
    workers = status.listening
    if workers and all(w.state == "paused" and w.lasts_s > PAUSED_FOR_S for w in workers):
        raise StoreError(
            f"every worker has been paused for five minutes: {workers[0].message}",
            hint="mend the store; the workers go on by themselves, and so does this command "
            "when it is given again",
        )
