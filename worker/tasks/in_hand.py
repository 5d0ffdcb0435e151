"""What this process has in hand: cells from their claim until they are done, failed or handed
back to the ledger, which sends them again.

A cell here is a number in a batch, with a key; what is made of it is its task's affair.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.dispatch import Dispatcher, Ledger, write_failure
from common.errors import BrokerError, StoreError
from common.store import Store
from worker.assets import Downloads
from worker.preemption import Notice
from worker.tasks.leases import Identity, Lease, LeaseKeeper
from worker.tasks.protocol import CellAborted

log = logging.getLogger(__name__)

#: Until what a stalled process hands back is sent again: this process still listens till then.
ENDED_AFTER_MS = 1_000


class InHand:
    """The claimed cells of all threads of a process. `closing` is set when it takes no more;
    `notice` is None until the process is told by when it has to end."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        ledger: Ledger,
        dispatcher: Dispatcher,
        leases: LeaseKeeper,
        *,
        downloads: Downloads | None = None,
    ) -> None:
        self.identity = identity
        self.store = store
        self.ledger = ledger
        self.dispatcher = dispatcher
        self.leases = leases
        self.downloads = downloads or Downloads()
        self.closing = threading.Event()
        self.notice: Notice | None = None
        self._latest_on_gpu: Lease | None = None

    # In

    def claim(self, batch_id: str, i: int, generation: int, key: str) -> Lease | None:
        """None where the cell is not to be worked on here: done, stale or in other hands."""
        answer = self.ledger.claim(batch_id, i, generation, key, self.identity.worker)
        if answer not in ("ok", "tried"):
            log.debug("%s #%d: %s", batch_id, i, answer)
            return None
        return Lease(batch_id, i, key, has_attempts=answer == "tried")

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Renew the lease while the block works on the cell. One that ends in StoreError or
        CellAborted, for which no cell is to blame, is handed back as if it had not been tried."""
        with self.leases.holding(lease):
            try:
                yield
            except (StoreError, CellAborted):
                self.hand_back(lease, undo_attempt=True)
                raise

    def check_open(self) -> None:
        """Raises CellAborted once the process takes no more work."""
        if self.closing.is_set():
            raise CellAborted

    def enter_gpu(self, lease: Lease) -> None:
        """From here on `leave` lets the cell itself see what fits. Raises CellAborted."""
        with lease.lock:
            lease.check_wanted()
            self.check_open()
            lease.reached_gpu = True
        self._latest_on_gpu = lease

    # Out: settled

    def done(self, lease: Lease) -> None:
        """What is made of the cell is in the store."""
        self._settled(lease.batch_id, self.ledger.done(lease.batch_id, lease.i, lease.key))

    def skip(self, batch_id: str, i: int) -> None:
        """The cell is excluded from its batch."""
        self._settled(batch_id, self.ledger.skip(batch_id, i))

    def fail(self, lease: Lease, reason: str) -> None:
        """The store first, so that a rebuilt ledger knows the failure too. Raises StoreError."""
        log.error("%s #%d failed: %s", lease.batch_id, lease.i, reason)
        worker = self.identity.worker
        write_failure(self.store, lease.batch_id, lease.i, reason, key=lease.key, worker=worker)
        with lease.lock:
            lease.ended = True
            last = self.ledger.fail(lease.batch_id, lease.i, lease.key, worker, reason)
        self._settled(lease.batch_id, last)

    def _settled(self, batch_id: str, last: bool) -> None:
        if last:
            self.dispatcher.finish(batch_id)
        self.dispatcher.feed()

    # Out: handed back

    def hand_back(self, lease: Lease, *, pause_ms: int = 0, undo_attempt: bool = False) -> None:
        """Once: another thread may have done it. What may be sent at once is."""
        with lease.lock:
            if lease.ended:
                return
            lease.ended = True
            self.ledger.release(
                lease.batch_id,
                lease.i,
                lease.key,
                self.identity.worker,
                pause_ms=pause_ms,
                undo_attempt=undo_attempt,
            )
        if self.closing.is_set():
            log.info("%s handed back", lease, extra={"batch": lease.batch_id, "cell": lease.i})
        if not pause_ms:
            self.dispatcher.feed()

    def close(self) -> None:
        """Start nothing more; a worker that is paused stops waiting for the store."""
        self.closing.set()

    def leave(self, notice: Notice) -> None:
        """Take no more work. What has not reached the GPU is handed back now; what is on it is
        finished if it fits into the notice, else handed back at its next denoising step; what
        is being uploaded is finished."""
        self.notice = notice
        self.close()
        self.downloads.stop()
        for lease in self.leases.held:
            with lease.lock:
                begun = lease.reached_gpu
                lease.stop.set() if not begun else None
            if not begun:
                self._hand_back_quietly(lease)

    def hand_back_all(self) -> None:
        """Stop at the next denoising step or piece of a download and give every cell in hand
        back to the queue."""
        self.leave(Notice.within(0, "handed back"))
        self.leases.stop_all()

    def abandon(self) -> None:
        """Hand back what is still in hand, whatever its thread is doing: the process ends."""
        for lease in self.leases.held:
            self._hand_back_quietly(lease)

    def stalled(self) -> None:
        """As `abandon`, but the cell on the GPU keeps its attempt, and nothing is sent before
        this process, which still listens, has ended."""
        for lease in self.leases.held:
            undo_attempt = lease is not self._latest_on_gpu
            self._hand_back_quietly(lease, undo_attempt=undo_attempt, pause_ms=ENDED_AFTER_MS)

    def _hand_back_quietly(
        self, lease: Lease, *, undo_attempt: bool = True, pause_ms: int = 0
    ) -> None:
        try:
            self.hand_back(lease, undo_attempt=undo_attempt, pause_ms=pause_ms)
        except BrokerError as error:
            log.warning("%s not handed back: %s", lease, error)
