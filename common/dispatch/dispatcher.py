"""The loop that feeds the queue and keeps store and ledger together.

Every worker runs `Dispatcher.tick` on a timer, the producer at submit and while it watches;
all of it is safe to run in any number of processes at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.dispatch.ending import Ending
from common.dispatch.ledger import Ledger
from common.dispatch.queues import TASK_NAME
from common.dispatch.rebuild import Rebuild
from common.store import Store

SNAPSHOT_EVERY_MS = 30_000


class Dispatcher:
    """Feeds `queues` from the ledger; `rebuild` is the way from the store to the ledger,
    `ending` the way back."""

    def __init__(self, store: Store, ledger: Ledger, queues: Iterable[str]) -> None:
        self.ledger = ledger
        self.queues = tuple(queues)
        self.rebuild = Rebuild(store, ledger)
        self.ending = Ending(store, ledger)

    def tick(self) -> None:
        """Everything that is due: rebuild, put back what is lost, feed, snapshot, finish."""
        self.rebuild.reconcile()
        for queue in self.queues:
            self.ledger.sweep(queue)
        self.feed()
        for batch_id in self.ledger.active():
            self._look_after(batch_id)

    def feed(self) -> int:
        """Fill the queues up to their windows; how many tasks were sent."""
        return self.ledger.feed(self.queues, TASK_NAME)

    def finish(self, batch_id: str) -> None:
        """Write down how the batch ended (`Ending.finish`), where its documents allow it."""
        with self.rebuild.one_of_many(batch_id):
            self.ending.finish(batch_id)

    def _look_after(self, batch_id: str) -> None:
        status = self.ledger.status(batch_id)
        if status is None:
            return  # Redis was wiped a moment ago; the next reconcile rebuilds it
        if status.done + status.failed >= status.total:
            self.finish(batch_id)
        elif self.ledger.broker.once(f"snapshot:{batch_id}", every_ms=SNAPSHOT_EVERY_MS):
            self.ending.snapshot(batch_id)
