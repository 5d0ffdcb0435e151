"""What a worker process says of itself, as long as it lives: when that changes, and every few
seconds."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from common.dispatch import Ledger, WorkerReport
from common.errors import GridfarmError
from worker.tasks import CellTask

log = logging.getLogger(__name__)

PERIOD_S = 2.0
#: What has not changed is said again after so long: at every second look.
BEAT_EVERY_S = 4.0
ALIVE_MS = 15_000
#: How long a worker that took itself out is still seen, with the reason.
QUARANTINE_SHOWN_MS = 600_000


def next_in(seconds: float | None) -> float:
    """Seconds until a timer's next time, of what its work asked for; never less. Workers that
    began together do not stay together."""
    return (seconds or PERIOD_S) * random.uniform(1.0, 1.25)


class PeriodicThread(threading.Thread):
    """Does `work` again and again, and goes on whatever happens in it. The work says after how
    many seconds; where it says nothing or ends in an error, after two. All are jittered."""

    def __init__(self, name: str, work: Callable[[], float | None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._trouble = ""
        self._closing = threading.Event()

    def close(self) -> None:
        self._closing.set()

    def run(self) -> None:
        while not self._closing.is_set():
            self._closing.wait(next_in(self._once()))

    def _once(self) -> float | None:
        try:
            seconds = self._work()
            self._trouble = ""
            return seconds
        except GridfarmError as error:
            if error.message != self._trouble:
                log.warning("%s", error.message)
            self._trouble = error.message
        except Exception:
            log.exception("%s failed; it goes on", self.name)
        return None


class Heartbeat:
    """Says that this process lives and what it does; `report` is what stays the same of it. It
    beats in a thread that never asks the store, so that a worker that is paused for the store's
    sake can say so."""

    def __init__(self, ledger: Ledger, task: CellTask, report: WorkerReport) -> None:
        self.ledger = ledger
        self.task = task
        self.report = report
        self._state_began = ("", 0.0)
        self._said: tuple[str, str] | None = None
        self._said_at = 0.0

    def look(self) -> None:
        """Beat, unless it would be what was said a moment ago; a step waits for its time."""
        if self._state() != self._said or time.monotonic() - self._said_at >= BEAT_EVERY_S:
            self.beat()

    def beat(self, ttl_ms: int = ALIVE_MS) -> None:
        state, message = self._state()
        lasts_s = self._lasts_s(state)
        step, steps = self.task.steps if state == "rendering" else (0, 0)
        farm_store = self.task.outage.farm_store
        report = replace(
            self.report, state=state, message=message, lasts_s=lasts_s, step=step, steps=steps,
            store=farm_store.store.url, store_id=farm_store.checked_id,
        )  # fmt: skip
        farm_store.heard(self.ledger.workers.heartbeat(report, ttl_ms=ttl_ms))
        self._said, self._said_at = (state, message), time.monotonic()

    def deregister(self, *, quarantined: bool) -> None:
        """The process ends. One that took itself out is still seen for a while, and why."""
        try:
            if quarantined:
                self.beat(ttl_ms=QUARANTINE_SHOWN_MS)
            else:
                self.ledger.workers.leave(self.report.name)
        except GridfarmError as error:
            log.debug("not signed off: %s", error)

    def _state(self) -> tuple[str, str]:
        """The state and its message, as `WorkerReport` has them."""
        in_hand = self.task.in_hand
        if self.task.paused:
            return "paused", self.task.paused
        if in_hand.notice:
            return "leaving", in_hand.notice.source
        state, message = self.task.phase
        if state == "loading":
            message = f"{message} onto {self.report.device}"
        if state:
            return state, message
        return ("rendering" if in_hand.leases.held else "listening"), ""

    def _lasts_s(self, state: str) -> float:
        """Seconds in this state. An outage of the store that comes again is one that lasts."""
        if state != self._state_began[0]:
            self._state_began = (state, time.monotonic())
        before = self.task.outage.lasted_s if state == "paused" else 0.0
        return time.monotonic() - self._state_began[1] + before
