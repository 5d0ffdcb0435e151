"""cancel, pause, resume, retry, prioritise: what makes no sense is said, all else is done.

`Controller` does what it is told; `Steering` looks first how the batch stands, and afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from common.batch import Batch, Matrix
from common.dispatch import Ledger
from common.store import Store
from producer.batches.control import Controller
from producer.batches.lost import look_for_lost
from producer.batches.priority import priority_number
from producer.batches.status import Status, StatusWatcher
from producer.pictures import TakenAway, forget_flaws
from producer.progress import ProgressCallback, Say
from producer.wording import counted


@dataclass(frozen=True)
class Steering:
    """A person's hand on one batch. Each method returns how the batch stands then, and raises
    what `Controller` does."""

    batch_id: str
    document: Batch
    store: Store
    ledger: Ledger
    say: Say
    progress: ProgressCallback

    def cancel(self) -> Status:
        if self._unless_done("cancel"):
            self._controller.cancel()
        return self._status()

    def pause(self) -> Status:
        if self._before.state == "cancelled":
            self.say(f"{self.batch_id} is cancelled; there is nothing to pause")
        elif self._unless_done("pause"):
            self._controller.pause()
        return self._status()

    def resume(self, priority: str | None) -> Status:
        number = priority_number(priority)
        if self._unless_done("resume"):
            self._controller.resume(number)
        return self._status()

    def prioritise(self, priority: str) -> Status:
        number = priority_number(priority)
        if self._unless_done("render sooner"):
            self._controller.prioritise(number)
        return self._status()

    def retry(self, *, everything: bool, priority: str | None) -> Status:
        number = priority_number(priority)
        matrix = Matrix(self.document)
        failed = self._watcher.look().failed
        lost = look_for_lost(self.batch_id, matrix, self.store, self.ledger, self.progress)
        self._tell_of(lost.taken_away)
        count = lost.missing if everything else failed + lost.count
        if count:
            # Above ENUMERATE_UP_TO cells all are sent, and the workers find what is stored.
            all_of_many = everything and matrix.distinct is None
            done = b"" if all_of_many else lost.done
            self._controller.retry(done=done, priority=number, mended=lost.taken_away.dealt_with)
            self.say(f"{self.batch_id}: {counted(count, 'cell')} to render again")
        else:
            forget_flaws(self.store, self.batch_id, lost.taken_away.dealt_with)
            self.say(f"{self.batch_id}: {_nothing(matrix, everything)}; there is nothing to retry")
        return self._status()

    def _tell_of(self, taken_away: TakenAway) -> None:
        for flaw in taken_away.unreadable:
            self.say(f"{self.batch_id} #{flaw.i} stays as it is: {flaw.reason}")

    @property
    def _controller(self) -> Controller:
        return Controller(self.batch_id, self.store, self.ledger)

    @cached_property
    def _before(self) -> Status:
        """Its state is what is asked for; no picture is read for that."""
        return self._watcher.look()

    @property
    def _watcher(self) -> StatusWatcher:
        return StatusWatcher(self.batch_id, self.document, self.store, self.ledger)

    def _status(self) -> Status:
        return self._watcher.status()

    def _unless_done(self, verb: str) -> bool:
        """False, said aloud, for a batch that is over for good."""
        done = self._before.state == "done"
        if done:
            self.say(f"{self.batch_id} is done; there is nothing to {verb}")
        return not done


def _nothing(matrix: Matrix, everything: bool) -> str:
    if everything:
        return "every picture is stored"
    looked = " and every picture that was stored is there" if matrix.distinct else ""
    return f"no cell has failed{looked}"
