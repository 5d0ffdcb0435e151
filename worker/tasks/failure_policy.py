"""What a failed attempt means: the cell fails, is tried again, or this machine is at fault.

the cell's own input is at fault              it fails at once
NaN or black                                  it fails when a second process has drawn it too
attempts that ended without a word            it fails, as what renders it is killed or hangs
anything else                                 it fails after three attempts on two machines
five different jobs in a row                  the machine is bad: this process is quarantined
the store, the broker, a full disk            nobody's fault
a model or LoRA cannot be had or loaded       every cell of the batch that needs it fails, once two
                                              machines say so, or the only one that could render it

The last is counted for the batch, and not for each cell: at once where what is there is bad, three
times in more than a minute where the hub or the store may just be away. Where any machine has
loaded it, it is the machine that is at fault; or the file is gone since, and the cell fails.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from common.dispatch import Ledger
from common.errors import (
    AssetGone,
    BadInput,
    BrokerError,
    CellError,
    GridfarmError,
    StoreFull,
    SuspectPicture,
)
from common.store import FULL
from worker.tasks.leases import Identity, Lease

log = logging.getLogger(__name__)

_COMMIT = re.compile(r"@[0-9a-f]{40}")

ATTEMPTS = 3
#: Different jobs in a row that fail for no fault of their input say that the machine is bad.
BAD_AFTER = 5

RETRY_AFTER_MS = 5_000
#: Trouble with what cells need counts for a machine once in so long,
UNMET_EVERY_MS = 30_000
#: and a machine that has it keeps the cell for so many seconds, so that it takes no others that
#: another machine could render, and is not asked again without end.
HELD_S = 10.0
#: For a picture that another process has to see too.
SUSPECT_RETRY_AFTER_MS = 1_000


class AttemptsExhausted(CellError):
    """The cell's attempts ended without a word: what rendered it was killed, or hung."""


@dataclass(frozen=True)
class Verdict:
    """The cell fails with `reason`, or where that is "" is held for `held_s` and tried again after
    `retry_ms`. With `machine_suspected` it may have been this machine's fault."""

    reason: str = ""
    retry_ms: int = 0
    held_s: float = 0.0
    machine_suspected: bool = False


class FailurePolicy:
    """`restart` asks for a fresh process in this one's place, `quarantine` for the end of this
    one; `quarantined` then says why, and is "" before. `closing` says that the process ends
    anyway. `troubled` is what goes on where a model or LoRA is waited for, else ""."""

    def __init__(
        self,
        identity: Identity,
        ledger: Ledger,
        closing: threading.Event,
        *,
        restart: Callable[[], None],
        quarantine: Callable[[], None],
    ) -> None:
        self.identity = identity
        self.ledger = ledger
        self.closing = closing
        self.restart = restart
        self.quarantine = quarantine
        self.quarantined = ""
        self.troubled = ""
        self._met: set[tuple[str, str]] = set()
        self._said: dict[tuple[str, str], int] = {}
        self._hopeless: dict[tuple[str, str], GridfarmError] = {}
        self._drawn_suspect: set[str] = set()
        self._failing_keys: dict[str, None] = {}

    def verdict(self, lease: Lease, error: Exception) -> Verdict | None:
        """What becomes of the cell whose attempt ended with `error`; None where it is in other
        hands. Raises StoreFull where this machine's disk is full."""
        if isinstance(error, OSError) and error.errno in FULL:
            raise StoreFull(f"the disk of {self.identity.machine} is full: {error}") from error
        if isinstance(error, GridfarmError) and error.needs:
            return self._of_unmet_need(lease, error)
        if isinstance(error, BadInput | AttemptsExhausted):
            return Verdict(reason=reason_of(error))
        if isinstance(error, SuspectPicture):
            return self._of_suspect_picture(lease, error)
        return self._of_failed_attempt(lease, error)

    def _of_suspect_picture(self, lease: Lease, error: SuspectPicture) -> Verdict:
        """NaN or black may be a bad machine's: another process has to see it too."""
        if self.confirmed_by_second_worker(lease):
            return Verdict(reason=f"{error.message} (two workers agree)")
        log.warning("%s: %s; another worker will try", lease, error.message)
        return Verdict(retry_ms=SUSPECT_RETRY_AFTER_MS, machine_suspected=True)

    def _of_failed_attempt(self, lease: Lease, error: Exception) -> Verdict | None:
        """An error that may be the machine's."""
        expected = isinstance(error, GridfarmError)
        log.error("%s #%d: %s", lease.batch_id, lease.i, error, exc_info=not expected)
        if lease.ended:
            return None
        machine, worker = self.identity.machine, self.identity.worker
        counts = self.ledger.record_attempt(lease.batch_id, lease.i, machine, worker)
        if not counts:
            return None  # frozen or cut off for long
        attempts, machines = counts
        if self.exhausted(lease.batch_id, attempts, machines):
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            reason = f"{reason} (after {attempts} attempts)"
            return Verdict(reason=reason, machine_suspected=True)
        return Verdict(retry_ms=RETRY_AFTER_MS, machine_suspected=True)

    def _of_unmet_need(self, lease: Lease, error: GridfarmError) -> Verdict | None:
        """A model or LoRA that the cell needs cannot be had or loaded."""
        if lease.ended:
            return None
        batch_id, need, machine = lease.batch_id, error.needs, self.identity.machine
        counts = self.ledger.report_unmet_need(batch_id, need, machine, every_ms=UNMET_EVERY_MS)
        if counts is None:
            return self._of_unmet_here_alone(lease, error)
        most = 1 if isinstance(error, BadInput) else ATTEMPTS
        if self.exhausted(batch_id, *counts, most=most):
            return Verdict(reason=reason_of(self._hopeless.setdefault((batch_id, need), error)))
        self._hopeless.pop((batch_id, need), None)
        self._say_tried_again(lease, error, counts[0])
        return Verdict(retry_ms=RETRY_AFTER_MS, held_s=HELD_S)

    def _of_unmet_here_alone(self, lease: Lease, error: GridfarmError) -> Verdict | None:
        """Another machine, or this one before, has loaded it."""
        if isinstance(error, AssetGone):
            return Verdict(reason=reason_of(error))
        verdict = self._of_failed_attempt(lease, error)
        return verdict and replace(verdict, held_s=HELD_S)

    def _say_tried_again(self, lease: Lease, error: GridfarmError, attempts: int) -> None:
        self.troubled = f"what failed: {_COMMIT.sub('', error.message)[:200]}"
        if self._said.get((lease.batch_id, error.needs)) != attempts:
            self._said[lease.batch_id, error.needs] = attempts
            log.error("%s: %s; it is tried again", lease, reason_of(error))

    def hold(self, lease: Lease, verdict: Verdict) -> None:
        """Keep a cell that is to be held, as long as it is wanted here."""
        if verdict.held_s:
            lease.stop.wait(verdict.held_s)
            self.troubled = ""

    def check_needs(self, lease: Lease, needs: list[str]) -> None:
        """Raise at once what was found to be no cell's own trouble; forget it where that was asked
        for anew (`retry`)."""
        for need in needs:
            error = self._hopeless.get((lease.batch_id, need))
            if error and self.ledger.has_unmet_need(lease.batch_id, need):
                raise error.with_traceback(None)
            self._hopeless.pop((lease.batch_id, need), None)

    def needs_met(self, lease: Lease, needs: list[str]) -> None:
        """This machine has them and has loaded them, which is told to the others once."""
        fresh = {(lease.batch_id, need) for need in needs} - self._met
        if fresh:
            with suppress(BrokerError):  # told with the next cell
                self.ledger.report_met_needs(lease.batch_id, needs)
                self._met |= fresh

    def exhausted(
        self, batch_id: str, attempts: int, machines: int, *, most: int = ATTEMPTS
    ) -> bool:
        """So many attempts on two machines, or on the only live one that takes the batch."""
        if attempts < most or machines >= 2:
            return attempts >= most
        status = self.ledger.status(batch_id)
        others = {
            worker.machine
            for worker in self.ledger.workers.alive()
            if worker.state != "paused" and (status is None or status.queue in worker.queues)
        }
        return others <= {self.identity.machine}

    def check_attempts_left(self, lease: Lease) -> None:
        """Raises AttemptsExhausted. Had the last attempt failed with a word, it would have
        failed the cell."""
        machines = self.ledger.attempts_of(lease.batch_id, lease.i) if lease.has_attempts else []
        if self.exhausted(lease.batch_id, len(machines), len(set(machines))):
            raise AttemptsExhausted(
                f"given up after {len(machines)} attempts: the process that rendered it was "
                f"killed (out of memory?) or made no progress; the workers' logs say more"
            )

    def confirmed_by_second_worker(self, lease: Lease) -> bool:
        """Whether another process has drawn NaN or black of this cell before. If not, this one
        has to leave it to another, or to a fresh one."""
        if self.ledger.report_suspect_picture(lease.batch_id, lease.i, self.identity.worker):
            return True
        self._drawn_suspect.add(lease.key)
        return False

    def may_retry_suspect(self, key: str) -> bool:
        """False for a picture that this process drew black: it cannot agree with itself."""
        if key in self._drawn_suspect:
            self._restart_if_alone()
        return key not in self._drawn_suspect

    def picture_stored(self) -> None:
        """A picture came of this machine: it is a good one."""
        self._failing_keys.clear()

    def suspect_machine(self, lease: Lease, error: Exception) -> None:
        """After a verdict that suspects the machine, and once the cell is out of hand: take no
        more work where different jobs failed in a row, and no picture was stored between them."""
        if isinstance(error, SuspectPicture):
            self._restart_if_alone()
        self._failing_keys[lease.key] = None
        leaves = self.quarantined or self.closing.is_set()
        if len(self._failing_keys) >= BAD_AFTER and not leaves:
            self.quarantined = (
                f"{len(self._failing_keys)} different jobs in a row failed on "
                f"{self.identity.machine}, so it takes no more work; the last: {str(error)[:200]}"
            )
            log.error("%s", self.quarantined)
            self.quarantine()

    def _restart_if_alone(self) -> None:
        others = [w for w in self.ledger.workers.alive() if w.name != self.identity.worker]
        if all(worker.state == "paused" for worker in others):
            log.warning("the only worker: a fresh process will judge the picture")
            self.restart()


def reason_of(error: GridfarmError) -> str:
    """In one line, with what to do next."""
    return f"{error.message}; {error.hint}" if error.hint else error.message
