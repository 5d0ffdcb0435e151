"""A place for one worker process: how it is started, told of a notice, and started again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from common import lifeline
from worker.preemption import Notice
from worker.supervisor.exit_codes import COME_BACK, QUARANTINED
from worker.supervisor.process_options import ProcessOptions

log = logging.getLogger(__name__)

#: Before the next start, after a first, second … death in a row.
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_AFTER_S = 60.0
QUARANTINE_PAUSE_S = 60.0
#: A fresh process mends a GPU's broken context. One that fails again so soon does not.
QUARANTINED_AGAIN_WITHIN_S = 3600.0


@dataclass
class Slot:
    """`command` is a Python module and what precedes the options in its arguments. `deaths`
    counts those in a row, `broken` those of them that a start cannot have survived. A slot that
    is `given_up` starts nothing more; else one without a process starts it at `start_at` (of
    time.monotonic())."""

    options: ProcessOptions
    environment: Mapping[str, str]
    command: tuple[str, ...] = ("worker.cli", "process")
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    broken: int = 0
    quarantined_at: float | None = None
    given_up: bool = False
    started_at: float = 0.0
    start_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        options = replace(self.options, launched=True)
        environment = os.environ | self.environment
        self.process = lifeline.start(*self.command, options.to_json(), environment=environment)
        self.started_at = time.monotonic()

    def notify(self, notice: Notice) -> None:
        """A line of JSON on the process' stdin."""
        if self.process and self.process.stdin:
            message = {"seconds": notice.left_s, "source": notice.source}
            with suppress(OSError):
                self.process.stdin.write(json.dumps(message).encode() + b"\n")
                self.process.stdin.flush()

    def signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def is_due(self) -> bool:
        """Whether a process is to be started here now."""
        return self.process is None and not self.given_up and time.monotonic() >= self.start_at

    def died(self, code: int) -> None:
        """The process has ended with `code`: plan the next start, or none."""
        now = time.monotonic()
        self._count_death(code, short_lived=now - self.started_at <= HEALTHY_AFTER_S)
        pause = BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        if code == QUARANTINED:
            pause = max(pause, QUARANTINE_PAUSE_S)
            self._quarantine(now)
        if self.process and self.process.stdin:
            self.process.stdin.close()
        self.process, self.start_at = None, now + pause
        if self.given_up:
            log.error("a fresh worker process failed as the one before: no other is started")
        else:
            log.warning("worker process ended with %s; starting another in %g s", code, pause)

    def _count_death(self, code: int, *, short_lived: bool) -> None:
        self.deaths = self.deaths + 1 if short_lived else 1
        own_fault = code > 0 and code not in COME_BACK
        self.broken = self.broken + 1 if own_fault and short_lived else 0

    def _quarantine(self, now: float) -> None:
        before, self.quarantined_at = self.quarantined_at, now
        self.given_up = before is not None and now - before < QUARANTINED_AGAIN_WITHIN_S
