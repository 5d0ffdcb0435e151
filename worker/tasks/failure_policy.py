"""Whose fault a failure is: the cell's, this machine's, or nobody's yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from common.dispatch import Ledger
from common.errors import CellError
from worker.tasks.leases import Lease

log = logging.getLogger(__name__)

ATTEMPTS = 3
#: Different jobs in a row that fail for no fault of their input say that the machine is bad.
BAD_AFTER = 5


@dataclass(frozen=True)
class Identity:
    """Who renders: a process of its own name on a machine."""

    worker: str
    machine: str


class WornOut(CellError):
    """The cell's attempts ended without a word: what rendered it was killed, or hung."""


class Blame:
    """`restart` asks for a fresh process in this one's place."""

    def __init__(self, who: Identity, ledger: Ledger, *, restart: Callable[[], None]) -> None:
        self.who = who
        self.ledger = ledger
        self.restart = restart
        self._suspected: set[str] = set()
        self._failing: dict[str, None] = {}

    def is_the_cells(self, attempts: int, machines: int) -> bool:
        """Three attempts on two machines, or on the only live one."""
        if attempts < ATTEMPTS or machines >= 2:
            return attempts >= ATTEMPTS
        live = {w.machine for w in self.ledger.workers.alive() if w.state != "paused"}
        return live <= {self.who.machine}

    def check_not_worn_out(self, lease: Lease) -> None:
        """Raises WornOut. Had the last attempt failed with a word, it would have failed the
        cell."""
        before = self.ledger.attempts_of(lease.batch_id, lease.i) if lease.tried else []
        if self.is_the_cells(len(before), len(set(before))):
            raise WornOut(
                f"given up after {len(before)} attempts: the process that rendered it was killed "
                f"(out of memory?) or made no progress; the workers' logs say more"
            )

    def stored(self) -> None:
        """A picture came of this machine: it is a good one."""
        self._failing.clear()

    def failed(self, key: str, why: str) -> str:
        """Why this machine is at fault, "" as long as it is not: different jobs failed in a row,
        and no picture between them."""
        self._failing[key] = None
        if len(self._failing) < BAD_AFTER:
            return ""
        return (
            f"{len(self._failing)} different jobs in a row failed on {self.who.machine}, "
            f"so it takes no more work; the last: {why[:200]}"
        )

    def two_agree(self, lease: Lease) -> bool:
        """Whether another process has drawn NaN or black of this cell before. If not, this one
        has to leave it to another, or to a fresh one."""
        if self.ledger.report_suspect_picture(lease.batch_id, lease.i, self.who.worker):
            return True
        self._suspected.add(lease.key)
        return False

    def may_judge(self, key: str) -> bool:
        """False for a picture that this process drew black: it cannot agree with itself."""
        if key in self._suspected:
            self.restart_if_alone()
        return key not in self._suspected

    def restart_if_alone(self) -> None:
        others = [w for w in self.ledger.workers.alive() if w.name != self.who.worker]
        if all(worker.state == "paused" for worker in others):
            log.warning("the only worker: a fresh process will judge the picture")
            self.restart()
