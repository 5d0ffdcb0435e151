"""What a person says to a batch in flight: cancel, pause, resume, retry, another priority.

Each is written to `control.json` with a new generation, then told to the ledger, where it acts
at once. When the broker does not answer, the workers read it in the store (`Dispatcher.reconcile`),
and the newer generation wins. A batch that is done is left as it is, but for `retry`.

The marker `active/<id>` is put before the ledger hears of a batch that goes on, and is deleted
after it heard of one that is cancelled: a rebuild in between finds what the store says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from common.batch import Matrix
from common.dispatch import (
    UNFINISHED,
    Control,
    Dispatcher,
    FarmStore,
    Ledger,
    State,
    mark_active,
    read_batch,
    read_control,
    write_control,
)
from common.errors import BrokerError, NotFound, UsageError
from common.store import Store, object_names
from producer.pictures import forget_flaws

TRIES = 5
DELETERS = 16


@dataclass(frozen=True)
class Controller:
    """Steers one batch. Raises StoreError before anything has changed, BrokerError when the
    store has it and the ledger has not, NotFound when the batch is removed in these moments,
    UsageError for a batch of a render on somebody's machine that a farm is to go on with;
    `ledger` is None where no broker is configured."""

    batch_id: str
    store: Store
    ledger: Ledger | None

    def cancel(self) -> None:
        """Nothing more is sent; running cells stop at their next renewal, unless another batch
        waits for them. What is stored stays. Safe to be cut off anywhere and done again."""
        if self._write_and_tell(state="cancelled").state == "cancelled":
            self.store.delete(object_names.active(self.batch_id))

    def pause(self) -> None:
        """Nothing more is sent; running cells finish."""
        self._write_and_tell(state="paused")

    def resume(self, priority: int | None = None) -> None:
        """What was cancelled or paused goes on where it stood."""
        self._write_and_tell(state="rendering", priority=priority)

    def prioritise(self, priority: int | None) -> None:
        """The cells that nobody has begun go before those of batches of a lower priority."""
        self._write_and_tell(priority=priority)

    def retry(
        self,
        *,
        done: bytes | None = None,
        priority: int | None = None,
        mended: Collection[int] = (),
    ) -> None:
        """Render failed cells again; with `done` also each cell that this bitmap lacks. A batch
        that is done, cancelled or paused goes on. `mended` are the cells whose flaws this deals
        with: their notes go when the store says that they are to be rendered."""
        self._write_and_tell(
            state="rendering",
            priority=priority,
            retry=True,
            tell=lambda control: self._tell_retry(control, done, mended),
        )

    def _write_and_tell(
        self,
        *,
        state: State | None = None,
        priority: int | None = None,
        retry: bool = False,
        tell: Callable[[Control], None] | None = None,
    ) -> Control:
        """Write and tell; once more if a worker, which rebuilt or finished the batch in that
        very moment, has written over it. Raises StoreForeign before."""
        if self.ledger:
            with suppress(BrokerError):  # it is told of that when the store knows
                FarmStore(self.store, self.ledger).check()
        for _ in range(TRIES):
            control = read_control(self.store, self.batch_id)
            if control.state == "done" and not retry:
                break
            control = self._write(control, state, priority, retry=retry)
            self._check_still_there()
            with self._saying_that_the_store_knows(control):
                (tell or self._tell)(control)
            self._check_still_there()
            if self._stands(control):
                break
        return control

    def _write(
        self, control: Control, state: State | None, priority: int | None, *, retry: bool
    ) -> Control:
        self._check_whose(control, state)
        generation = control.generation + 1
        control = replace(
            control,
            state=state or control.state,
            priority=control.priority if priority is None else priority,
            generation=generation,
            retried=generation if retry else control.retried,
        )
        write_control(self.store, self.batch_id, control)
        if control.state in UNFINISHED:
            mark_active(self.store, self.batch_id, control)
        return control

    def _check_whose(self, control: Control, state: State | None) -> None:
        """A farm does not go on with a batch of a render: models that were read where they lie
        are not in the store."""
        if not control.local or self.ledger is None or state == "cancelled":
            return
        if not self.ledger.is_local:
            raise UsageError(
                f"{self.batch_id} is rendered on somebody's own machine, not by the farm",
                hint="the same gridfarm render goes on there; gridfarm submit orders it from the "
                "farm",
            )

    def _check_still_there(self) -> None:
        """After the writing: a removal deletes the document first and then looks what else there
        is, so one of the two sees what the other has done. control.json goes last: a submit that
        has begun since looks for it in the end."""
        if self._is_there():
            return
        for name in (object_names.active, object_names.done_bitmap, object_names.control):
            if not self._is_there():
                self.store.delete(name(self.batch_id))
        raise NotFound(f"the batch {self.batch_id} was removed")

    def _is_there(self) -> bool:
        return self.store.exists(object_names.batch(self.batch_id))

    def _stands(self, control: Control) -> bool:
        marked = control.local or self.store.exists(object_names.active(self.batch_id))
        written = read_control(self.store, self.batch_id)
        return written == control and (marked or control.state not in UNFINISHED)

    def _tell(self, control: Control) -> None:
        if self.ledger is None:
            return
        known = self.ledger.control(
            self.batch_id,
            generation=control.generation,
            state=control.state,
            priority=control.priority,
        )
        self._see_to_it(control, known=known)

    def _tell_retry(self, control: Control, done: bytes | None, mended: Collection[int]) -> None:
        if done is not None:
            self.store.put(object_names.done_bitmap(self.batch_id), done)
        with ThreadPoolExecutor(DELETERS) as pool:
            list(
                pool.map(
                    self.store.delete, [*self.store.list(object_names.failures(self.batch_id))]
                )
            )
        forget_flaws(self.store, self.batch_id, mended)
        if self.ledger is None:
            return
        known = self.ledger.retry(
            self.batch_id, generation=control.generation, priority=control.priority, done=done
        )
        self._see_to_it(control, known=known)

    def _see_to_it(self, control: Control, *, known: bool) -> None:
        """Open a ledger for what goes on, feed the queue; snapshot what was cancelled, since
        its ledger is forgotten after a day."""
        assert self.ledger
        dispatcher = Dispatcher(self.store, self.ledger, [])
        if not known and control.state in UNFINISHED:
            matrix = Matrix(read_batch(self.store, self.batch_id))
            dispatcher.rebuild.load(matrix, self.batch_id, control)
        if control.state == "cancelled" and known:
            dispatcher.ending.snapshot(self.batch_id)
        if entry := self.ledger.status(self.batch_id):
            Dispatcher(self.store, self.ledger, [entry.queue]).feed()

    @contextmanager
    def _saying_that_the_store_knows(self, control: Control) -> Iterator[None]:
        try:
            yield
        except BrokerError as error:
            raise type(error)(
                f"{error.message}; the store has it: {self.batch_id} is {control.state}",
                hint="workers that missed the broker too read it there as soon as it is back, "
                "others within a minute, or fifteen if they render nothing of it; "
                "or give the command again then",
            ) from error
