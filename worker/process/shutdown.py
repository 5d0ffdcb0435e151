"""How a worker process ends: asked by a signal or its launcher, or for a reason of its own.

    first SIGTERM     the machine or the pod goes: a notice of `grace` seconds
    a cloud's notice  the launcher's word on stdin, with the seconds that are left
    SIGINT, or any signal after the first   hand everything back at the next step
    a restart, a machine found unfit        as SIGTERM, with an exit code that says so
    a stalled render  the process ends at once; its thread cannot be stopped

A process that has not ended by its deadline hands back what it holds and ends all the same.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from worker.preemption import Notice
from worker.supervisor import LEFT, RESTART, STALLED, UNFIT
from worker.tasks import CellTask

log = logging.getLogger(__name__)

#: systemd signals each process of a service and the launcher passes its own on: one request.
REPEATED_WITHIN_S = 1.0
HAND_BACK_S = 10.0
#: For a process without a cell to end by itself; a thread may still be loading a model.
EMPTY_HANDED_S = 3.0
MARGIN_S = 0.5
LOOK_S = 0.1


class Departure(threading.Thread):
    """Waits for a reason to end, tells the task and Celery, and sees to it that it ends. The
    work is done in this thread: a signal handler may interrupt anything."""

    def __init__(self, grace_s: float) -> None:
        super().__init__(name="departure", daemon=True)
        self.grace_s = grace_s
        # Celery that ends of itself, as with a broker's death, is to be started afresh.
        self.code = RESTART
        self._asked: queue.SimpleQueue[int | tuple[Notice, int] | None] = queue.SimpleQueue()
        self._notice: Notice | None = None
        self._signalled = 0.0
        self._empty_since: float | None = None
        self._closed = threading.Event()
        self._task: CellTask
        self._goodbye: Callable[[], None]

    def watch_over(self, task: CellTask, *, goodbye: Callable[[], None]) -> None:
        """Call it in the main thread: it takes SIGTERM and SIGINT."""
        self._task, self._goodbye = task, goodbye
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)

    def listen_to_launcher(self) -> None:
        threading.Thread(target=self._read_notices, name="launcher", daemon=True).start()

    def restart(self) -> None:
        self._ask(RESTART, "a fresh process takes over")

    def unfit(self) -> None:
        self._ask(UNFIT, "this machine is unfit")

    def stalled(self, why: str) -> None:
        """Ends the process. The cell on the GPU comes back with its attempt charged."""
        log.error("%s: the process ends, its cells are handed back", why)
        self._last_words(STALLED, self._task.stalled)

    def close(self) -> None:
        """Celery has ended."""
        self._closed.set()
        self._asked.put(None)
        self._goodbye()
        if self._notice:
            log.info("left: %s", self._notice.source)

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                asked = self._asked.get(timeout=LOOK_S if self._notice else None)
                if asked is not None:
                    self._hear(asked)
            except queue.Empty:
                pass
            if self._notice and not self._closed.is_set():
                self._see_to_the_end(self._notice)

    def _ask(self, code: int, why: str) -> None:
        self._asked.put((Notice.within(self.grace_s, why), code))

    def _signal(self, number: int, _: FrameType | None) -> None:
        self._asked.put(number)

    def _read_notices(self) -> None:
        for line in sys.stdin:
            said = json.loads(line)
            self._asked.put((Notice.within(said["seconds"], said["source"]), LEFT))

    def _hear(self, asked: int | tuple[Notice, int]) -> None:
        if isinstance(asked, tuple):
            self._leave(*asked)
            return
        first, since = self._notice is None, time.monotonic() - self._signalled
        self._signalled = time.monotonic()
        if asked == signal.SIGINT or (not first and since > REPEATED_WITHIN_S):
            self._hand_back()
        elif first:
            self._leave(Notice.within(self.grace_s, signal.Signals(asked).name), LEFT)

    def _leave(self, notice: Notice, code: int) -> None:
        """Of several reasons the first gives the exit code, the nearest the deadline."""
        if self._notice is None:
            self.code = code
        elif self._notice.deadline <= notice.deadline:
            return
        self._notice = notice
        log.info("leaving: %s; %.0f s left, taking no more work", notice.source, notice.left_s)
        self._stop_consuming()
        self._task.leave(notice)

    def _hand_back(self) -> None:
        self._leave(Notice.within(HAND_BACK_S, "told to hand everything back"), LEFT)
        self._task.hand_back_all()

    def _stop_consuming(self) -> None:
        from celery.worker import state

        state.should_stop = 0

    def _see_to_the_end(self, notice: Notice) -> None:
        if self._task.leases.held:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = time.monotonic()
        empty_s = time.monotonic() - (self._empty_since or time.monotonic())
        if notice.left_s < MARGIN_S or empty_s > EMPTY_HANDED_S:
            self._last_words(self.code, self._task.abandon)

    def _last_words(self, code: int, hand_back: Callable[[], None]) -> None:
        """End now, whatever other threads do; a broker that hangs is not waited for."""
        self.code = code

        def speak() -> None:
            hand_back()
            self._goodbye()

        words = threading.Thread(target=speak, daemon=True)
        words.start()
        words.join(EMPTY_HANDED_S)
        if self._notice:
            log.info("left: %s", self._notice.source)
        logging.shutdown()
        os._exit(code)
