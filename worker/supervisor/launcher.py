"""Runs worker processes, one per GPU, and starts another when one dies.

The broker's death can end Celery's main process, so each worker process needs somebody who
starts it again; this file is that somebody and imports neither torch nor Celery itself. It also
watches for the cloud's notice, once for the whole machine, and passes it on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

from worker.preemption import Notice, Watcher, default_grace
from worker.supervisor.exit_codes import COME_BACK, UNFIT, UNREACHABLE, USAGE

log = logging.getLogger(__name__)

BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_AFTER_S = 60.0
#: Deaths in a row, each soon after the start: it will not live (a broken install, say).
GIVE_UP_AFTER = 5
UNFIT_PAUSE_S = 60.0
#: A fresh process mends a GPU's broken context. One that fails again so soon does not.
UNFIT_AGAIN_WITHIN_S = 3600.0
#: A process that lives so long after its deadline is killed.
LATEST_S = 15.0
LOOK_S = 0.1


@dataclass
class Slot:
    """A place for one process: how it is started, and how often it died in a row."""

    arguments: list[str]
    environment: Mapping[str, str]
    command: tuple[str, ...] = ("worker.cli", "process")
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    #: Deaths in a row that a start cannot have survived.
    broken: int = 0
    unfit_at: float | None = None
    out: bool = False
    started: float = 0.0
    start_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        command = [sys.executable, "-m", *self.command, *self.arguments, "--launched"]
        # A session of its own: Ctrl-C in the terminal reaches the launcher alone, which
        # passes it on once.
        self.process = subprocess.Popen(
            command,
            env=os.environ | self.environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
        )
        self.started = time.monotonic()

    def tell(self, notice: Notice) -> None:
        """A line of JSON on the process' stdin."""
        if self.process and self.process.stdin:
            said = {"seconds": notice.left_s, "source": notice.source}
            with suppress(OSError):
                self.process.stdin.write(json.dumps(said).encode() + b"\n")
                self.process.stdin.flush()

    def signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def died(self, code: int) -> None:
        now = time.monotonic()
        short = now - self.started <= HEALTHY_AFTER_S
        self.deaths = self.deaths + 1 if short else 1
        own_fault = code > 0 and code not in COME_BACK
        self.broken = self.broken + 1 if own_fault and short else 0
        pause = BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        if code == UNFIT:
            pause = max(pause, UNFIT_PAUSE_S)
            self.out = self.unfit_at is not None and now - self.unfit_at < UNFIT_AGAIN_WITHIN_S
            self.unfit_at = now
        if self.process and self.process.stdin:
            self.process.stdin.close()
        self.process, self.start_at = None, now + pause
        if self.out:
            log.error("a fresh worker process failed as the one before: no other is started")
        else:
            log.warning("worker process ended with %s; starting another in %g s", code, pause)


class Launcher:
    """Starts the slots' processes, restarts those that die, passes signals and the cloud's
    notice on."""

    def __init__(
        self,
        slots: list[Slot],
        *,
        parent: int | None,
        watcher: Watcher | None = None,
        grace_s: float | None = None,
    ) -> None:
        self.slots = slots
        self.parent = parent
        self.grace_s = default_grace() if grace_s is None else grace_s
        self.notice: Notice | None = None
        self._unsaid: Notice | None = None
        self._signals: list[int] = []
        self._watcher = watcher

    def run(self) -> int:
        """The exit code: 0 when it was told to end, 1 when nothing is left to be started."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        if self._watcher:
            self._watcher.start(self._hear)
        code = 0
        while not self.stopping and code == 0:
            code = max(self._look_after(slot) for slot in self.slots)
            code = code or int(all(slot.out for slot in self.slots))
            time.sleep(LOOK_S)
        self._end_all()
        return code

    @property
    def stopping(self) -> bool:
        return bool(self._signals) or self.notice is not None or self.orphaned

    @property
    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent

    def _look_after(self, slot: Slot) -> int:
        """Start or restart what is due; a code other than 0 ends the launcher."""
        if slot.process is None:
            if time.monotonic() >= slot.start_at and not slot.out:
                slot.start()
            return 0
        code = slot.process.poll()
        if code is None or self.stopping:
            return 0
        if code == USAGE or (code == UNREACHABLE and slot.deaths == 0):
            return code
        slot.died(code)
        return 1 if slot.broken >= GIVE_UP_AFTER else 0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _hear(self, notice: Notice) -> None:
        log.warning("%s in %.0f s: telling the worker processes", notice.source, notice.left_s)
        self._unsaid = self.notice = notice

    def _end_all(self) -> None:
        """Pass on what was heard, and what is heard meanwhile, until every process has ended.
        A process keeps its own deadline; one that is frozen is killed."""
        deadline = time.monotonic() + self.grace_s + LATEST_S
        told = False
        while any(slot.runs for slot in self.slots):
            told = self._pass_on() or told
            if not told:  # this launcher ends for a reason of its own
                self._signals.append(signal.SIGTERM)
            if time.monotonic() > deadline:
                self._kill()
            time.sleep(LOOK_S)

    def _pass_on(self) -> bool:
        """Signals and the notice, each once; whether there was any."""
        signals, self._signals = self._signals, []
        notice, self._unsaid = self._unsaid, None
        for slot in self.slots:
            if notice:
                slot.tell(notice)
            for number in signals:
                slot.signal(number)
        return bool(notice or signals)

    def _kill(self) -> None:
        for slot in self.slots:
            slot.signal(signal.SIGKILL)
