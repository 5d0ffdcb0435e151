"""Runs worker processes, one per GPU, and starts another when one dies.

The broker's death can end Celery's main process, so each worker process needs somebody who
starts it again; this file is that somebody and imports neither torch nor Celery itself. It also
watches for the cloud's notice, once for the whole machine, and passes it on.
"""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType

from worker.preemption import Notice, NoticeWatcher, default_grace, heed_signals
from worker.supervisor.exit_codes import UNREACHABLE, USAGE
from worker.supervisor.slot import Slot

log = logging.getLogger(__name__)

#: Deaths in a row, each soon after the start: it will not live (a broken install, say).
GIVE_UP_AFTER = 5
#: A process that lives so long after its deadline is killed.
LATEST_S = 15.0
LOOK_S = 0.1


class Launcher:
    """Starts the slots' processes, restarts those that die, passes signals and the cloud's
    notice on."""

    def __init__(
        self,
        slots: list[Slot],
        *,
        watcher: NoticeWatcher | None = None,
        grace_s: float | None = None,
    ) -> None:
        self.slots = slots
        self.grace_s = default_grace() if grace_s is None else grace_s
        self.notice: Notice | None = None
        self._pending_notice: Notice | None = None
        self._pending_signals: list[int] = []
        self._watcher = watcher

    def run(self) -> int:
        """The exit code: 0 when it was told to end, 1 when nothing is left to be started."""
        heed_signals(self._on_signal)
        if self._watcher:
            self._watcher.start(self._on_notice)
        code = 0
        while not self.stopping and code == 0:
            code = max(self._look_after(slot) for slot in self.slots)
            code = code or int(all(slot.given_up for slot in self.slots))
            time.sleep(LOOK_S)
        self._end_all()
        return code

    @property
    def stopping(self) -> bool:
        return bool(self._pending_signals) or self.notice is not None

    def _look_after(self, slot: Slot) -> int:
        """Start or restart what is due; a code other than 0 ends the launcher."""
        if slot.is_due:
            slot.start()
        code = slot.process.poll() if slot.process else None
        if code is None or self.stopping:
            return 0
        if code in (USAGE, UNREACHABLE) and slot.deaths == 0:
            return code
        slot.died(code)
        return 1 if slot.broken >= GIVE_UP_AFTER else 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._pending_signals.append(number)

    def _on_notice(self, notice: Notice) -> None:
        log.warning("%s in %.0f s: telling the worker processes", notice.source, notice.left_s)
        self._pending_notice = self.notice = notice

    def _end_all(self) -> None:
        """Pass on what was heard, and what is heard meanwhile, until every process has ended.
        A process keeps its own deadline; one that is frozen is killed."""
        deadline = time.monotonic() + self.grace_s + LATEST_S
        passed_on = False
        while any(slot.runs for slot in self.slots):
            passed_on = self._pass_on() or passed_on
            if not passed_on:  # this launcher ends for a reason of its own
                self._pending_signals.append(signal.SIGTERM)
            if time.monotonic() > deadline:
                self._kill()
            time.sleep(LOOK_S)

    def _pass_on(self) -> bool:
        """Signals and the notice, each once; whether there was any."""
        signals, self._pending_signals = self._pending_signals, []
        notice, self._pending_notice = self._pending_notice, None
        for slot in self.slots:
            if notice:
                slot.notify(notice)
            for number in signals:
                slot.signal(number)
        return bool(notice or signals)

    def _kill(self) -> None:
        for slot in self.slots:
            slot.signal(signal.SIGKILL)
