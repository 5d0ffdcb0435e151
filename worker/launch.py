"""Runs worker processes, one per GPU, and starts another when one dies.

The broker's death can end Celery's main process, so each worker process needs somebody who
starts it again; this file is that somebody and imports neither torch nor Celery itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType

import click

BACK_OFF_S = (1, 2, 5, 10, 30)
HEALTHY_AFTER_S = 60
GIVE_UP_AFTER = 5
"""Deaths in a row, each soon after the start: it will not live (a broken install, say)."""
USAGE, UNREACHABLE = 2, 3
"""Exit codes: wrong settings; broker or store away, which ends only the very first start."""


@dataclass
class Slot:
    """A place for one process: how it is started, and how often it died in a row."""

    arguments: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    start_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        command = [sys.executable, "-m", "worker.cli", "process", *self.arguments]
        # A session of its own: Ctrl-C in the terminal reaches the launcher alone, which
        # passes it on once.
        self.process = subprocess.Popen(
            command, env=os.environ | self.environment, start_new_session=True
        )
        self.started = time.monotonic()

    def died(self, code: int) -> None:
        lived = time.monotonic() - self.started
        self.deaths = 1 if lived > HEALTHY_AFTER_S else self.deaths + 1
        pause = BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        click.echo(f"worker process ended with {code}; starting another in {pause} s", err=True)
        self.process = None
        self.start_at = time.monotonic() + pause


class Launcher:
    """Starts the slots' processes, restarts those that die, passes signals on."""

    def __init__(self, slots: list[Slot], *, parent: int | None) -> None:
        self.slots = slots
        self.parent = parent
        self.stopping = 0
        """The signal that ends it, passed on to the processes."""

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        code = 0
        while not self.stopping and not self.orphaned and code == 0:
            code = max(self._look_after(slot) for slot in self.slots)
            time.sleep(0.2)
        self._end_all()
        return code

    @property
    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent

    def _look_after(self, slot: Slot) -> int:
        """Start or restart what is due; a code other than 0 ends the launcher."""
        if slot.process is None:
            if time.monotonic() >= slot.start_at:
                slot.start()
            return 0
        code = slot.process.poll()
        if code is None or self.stopping:
            return 0
        if code == USAGE or (code == UNREACHABLE and slot.deaths == 0):
            return code
        slot.died(code)
        return 1 if slot.deaths >= GIVE_UP_AFTER and code != UNREACHABLE else 0

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = number

    def _end_all(self) -> None:
        running = [slot.process for slot in self.slots if slot.process]
        for process in running:
            if process.poll() is None:
                process.send_signal(self.stopping or signal.SIGTERM)
        for process in running:
            process.wait()
