"""The loop that feeds the queue and keeps store and ledger together.

Every worker runs `Dispatcher.tick` on a timer, the producer while it watches. Of all these
processes one does what is due, and comes back soon; the others find it done, and come back later
and later, up to five seconds. All of it is safe to run in any number of processes at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.dispatch.ending import Ending
from common.dispatch.farm_store import FarmStore
from common.dispatch.ledger import SWEEP_EVERY_MS, Ledger
from common.dispatch.queues import TASK_NAME
from common.dispatch.rebuild import RECONCILE, RECONCILE_EVERY_MS, Rebuild
from common.dispatch.turns import Turns
from common.store import Store

WRITE_DOWN_EVERY_MS = 2_000
#: Seconds until who did something looks again, and the longest for who did not.
SOON_S, LATER_S = 2.0, 5.0

WRITE_DOWN = "write-down"


class Dispatcher:
    """Feeds `queues` from the ledger; `rebuild` is the way from the store to the ledger,
    `ending` the way back, both only where `farm_store` is the farm's."""

    def __init__(self, store: Store, ledger: Ledger, queues: Iterable[str]) -> None:
        self.ledger = ledger
        self.queues = tuple(queues)
        self.farm_store = FarmStore(store, ledger)
        self.rebuild = Rebuild(self.farm_store)
        self.ending = Ending(self.farm_store)
        self.turns = Turns(ledger.broker)
        self._in_s = 0.0
        self._troubles = ledger.broker.troubles

    def tick(self) -> float:
        """Everything that is due and nobody else does: rebuild, put back what is lost, feed,
        snapshot, finish. After how many seconds to look again."""
        if self.ledger.broker.troubles != self._troubles:
            self.rebuild.doubt()
            self._troubles = self.ledger.broker.troubles
        at_work = self.turns.any_due(self._turns_to_take) and self._take_turns()
        if not (at_work or self._in_s):
            self.feed()  # a worker that has just begun makes the window larger
        self._in_s = SOON_S if at_work else min(LATER_S, self._in_s + 1)
        return self._in_s

    def feed(self) -> int:
        """Fill the queues up to their windows; how many tasks were sent."""
        return self.ledger.feed(self.queues, TASK_NAME)

    def finish(self, batch_id: str) -> None:
        """Write down how the batch ended (`Ending.finish`), where its documents allow it; rebuild
        it where its ledger has lost a part, so that nothing in it is to be believed."""
        with self.rebuild.one_of_many(batch_id):
            if self.ledger.sound(batch_id):
                self.ending.finish(batch_id)
            else:
                self.rebuild.anew(batch_id)

    @property
    def _turns_to_take(self) -> dict[str, int]:
        """And for how long each may be taken, in ms."""
        sweeps = {f"sweep:{queue}": SWEEP_EVERY_MS for queue in self.queues}
        turns = {WRITE_DOWN: WRITE_DOWN_EVERY_MS, **sweeps}
        return turns if self.ledger.is_local else {RECONCILE: RECONCILE_EVERY_MS, **turns}

    def _take_turns(self) -> bool:
        rebuilt = not self.ledger.is_local and self.rebuild.reconcile()
        swept = [queue for queue in self.queues if self.ledger.sweep(queue)]
        if rebuilt or swept:
            self.feed()
        return self._write_down() or rebuilt or bool(swept)

    def _write_down(self) -> bool:
        """Of each batch what the store has to know; False when it was somebody else's turn."""
        if not self.turns.take(WRITE_DOWN, every_ms=WRITE_DOWN_EVERY_MS):
            return False
        for batch_id in self.ledger.over():
            # Redis may have been wiped a moment ago; the next reconcile rebuilds it then.
            status = self.ledger.status(batch_id)
            if status and status.done + status.failed >= status.total:
                self.finish(batch_id)
        for batch_id, changes in self.ledger.unsaved().items():
            self._save(batch_id, changes)
        return True

    def _save(self, batch_id: str, changes: int) -> None:
        with self.rebuild.one_of_many(batch_id):
            if self.ending.snapshot(batch_id):
                self.ledger.saved(batch_id, changes)
            elif not self.ledger.sound(batch_id):
                self.rebuild.anew(batch_id)
