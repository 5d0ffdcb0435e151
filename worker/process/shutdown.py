"""How a worker process ends: asked by a signal or its launcher, or for a reason of its own.

    first SIGTERM     the machine or the pod goes: a notice of `grace` seconds
    first SIGHUP      likewise: the terminal was closed
    a cloud's notice  the launcher's word on stdin, with the seconds that are left
    SIGINT, or any signal after the first   hand everything back at the next step
    the launcher is gone                    as SIGINT, which `common.lifeline` sends
    a restart, a quarantined machine        as SIGTERM, with an exit code that says so
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

from worker.preemption import Notice, heed_signals
from worker.process.consumer import stop_consuming
from worker.supervisor import LEFT, QUARANTINED, RESTART, STALLED
from worker.tasks import InHand

log = logging.getLogger(__name__)

#: systemd signals each process of a service and the launcher passes its own on: one request.
REPEATED_WITHIN_S = 1.0
HAND_BACK_S = 10.0
#: For a process without a cell to end by itself; a thread may still be loading a model.
EMPTY_HANDED_S = 3.0
MARGIN_S = 0.5
LOOK_S = 0.1


class Shutdown(threading.Thread):
    """Waits for a reason to end, tells the cells in hand and Celery, and sees to it that the
    process ends. The work is done in this thread: a signal handler may interrupt anything."""

    def __init__(self, grace_s: float) -> None:
        super().__init__(name="shutdown", daemon=True)
        self.grace_s = grace_s
        # Celery that ends of itself, as with a broker's death, is to be started afresh.
        self.code = RESTART
        # A signal's number, or a notice with the exit code that it asks for; None wakes the thread.
        self._requests: queue.SimpleQueue[int | tuple[Notice, int] | None] = queue.SimpleQueue()
        self._notice: Notice | None = None
        self._signalled_at = 0.0
        self._empty_since: float | None = None
        self._closed = threading.Event()
        self._in_hand: InHand
        self._deregister: Callable[[], None]

    def watch_over(self, in_hand: InHand, *, deregister: Callable[[], None]) -> None:
        """Call it in the main thread: it takes SIGTERM, SIGHUP and SIGINT."""
        self._in_hand, self._deregister = in_hand, deregister
        heed_signals(self._on_signal)

    def listen_to_launcher(self) -> None:
        threading.Thread(target=self._read_notices, name="launcher", daemon=True).start()

    def restart(self) -> None:
        self._request(RESTART, "a fresh process takes over")

    def quarantine(self) -> None:
        self._request(QUARANTINED, "this machine is unfit")

    def stalled(self, why: str) -> None:
        """Ends the process. The cell on the GPU comes back with its attempt recorded."""
        log.error("%s: the process ends, its cells are handed back", why)
        self._force_exit(STALLED, self._in_hand.stalled)

    def close(self) -> None:
        """Celery has ended."""
        self._closed.set()
        self._requests.put(None)
        self._deregister()
        if self._notice:
            log.info("left: %s", self._notice.source)

    def run(self) -> None:
        while not self._closed.is_set():
            try:
                request = self._requests.get(timeout=LOOK_S if self._notice else None)
                if request is not None:
                    self._obey(request)
            except queue.Empty:
                pass
            if self._notice and not self._closed.is_set():
                self._enforce_end(self._notice)

    def _request(self, code: int, why: str) -> None:
        self._requests.put((Notice.within(self.grace_s, why), code))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._requests.put(number)

    def _read_notices(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            self._requests.put((Notice.within(message["seconds"], message["source"]), LEFT))

    def _obey(self, request: int | tuple[Notice, int]) -> None:
        if isinstance(request, tuple):
            self._leave(*request)
            return
        first, since = self._notice is None, time.monotonic() - self._signalled_at
        self._signalled_at = time.monotonic()
        if request == signal.SIGINT or (not first and since > REPEATED_WITHIN_S):
            self._hand_back_all()
        elif first:
            self._leave(Notice.within(self.grace_s, signal.Signals(request).name), LEFT)

    def _leave(self, notice: Notice, code: int) -> None:
        """Of several reasons the first gives the exit code, the nearest the deadline."""
        if self._notice is None:
            self.code = code
        elif self._notice.deadline <= notice.deadline:
            return
        self._notice = notice
        log.info("leaving: %s; %.0f s left, taking no more work", notice.source, notice.left_s)
        stop_consuming()
        self._in_hand.leave(notice)

    def _hand_back_all(self) -> None:
        self._leave(Notice.within(HAND_BACK_S, "told to hand everything back"), LEFT)
        self._in_hand.hand_back_all()

    def _enforce_end(self, notice: Notice) -> None:
        """End by force at the deadline, or when nothing is in hand and the process lives on."""
        if self._in_hand.leases.held:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = time.monotonic()
        empty_s = time.monotonic() - (self._empty_since or time.monotonic())
        if notice.left_s < MARGIN_S or empty_s > EMPTY_HANDED_S:
            self._force_exit(self.code, self._in_hand.abandon)

    def _force_exit(self, code: int, hand_back: Callable[[], None]) -> None:
        """End now, whatever other threads do; a broker that hangs is not waited for."""
        self.code = code

        def sign_off() -> None:
            hand_back()
            self._deregister()

        signing_off = threading.Thread(target=sign_off, daemon=True)
        signing_off.start()
        signing_off.join(EMPTY_HANDED_S)
        if self._notice:
            log.info("left: %s", self._notice.source)
        logging.shutdown()
        os._exit(code)
