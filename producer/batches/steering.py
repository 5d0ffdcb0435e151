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
from producer.batches.priority import priority_number
from producer.batches.status import Status, StatusWatcher
from producer.progress import ProgressCallback, Say
from producer.submission import stored_jobs
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
        missing = self._missing(everything)
        if missing == 0:
            what = "every picture is stored" if everything else "no cell has failed"
            self.say(f"{self.batch_id}: {what}; there is nothing to retry")
        else:
            self._controller.retry(everything=everything, priority=number, progress=self.progress)
            self.say(f"{self.batch_id}: {counted(missing, 'cell')} to render again")
        return self._status()

    @property
    def _controller(self) -> Controller:
        return Controller(self.batch_id, self.store, self.ledger)

    @cached_property
    def _before(self) -> Status:
        return self._status()

    def _status(self) -> Status:
        return StatusWatcher(self.batch_id, self.document, self.store, self.ledger).status()

    def _unless_done(self, verb: str) -> bool:
        """False, said aloud, for a batch that is over for good."""
        done = self._before.state == "done"
        if done:
            self.say(f"{self.batch_id} is done; there is nothing to {verb}")
        return not done

    def _missing(self, everything: bool) -> int:
        """How many cells `retry` is to render, as far as that is known without looking at each."""
        if not everything:
            return self._before.failed
        matrix = Matrix(self.document)
        if matrix.distinct is None:
            return matrix.jobs
        return matrix.jobs - stored_jobs(matrix, self.batch_id, self.store).count
