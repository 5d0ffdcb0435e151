"""The process' one GPU: threads take turns on it, and each turn is an attempt that is recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from worker.tasks.in_hand import InHand
from worker.tasks.leases import Lease
from worker.tasks.protocol import CellAborted, OnStep
from worker.tasks.step_timer import StepTimer
from worker.tasks.watchdog import Watchdog

T = TypeVar("T")

#: Of a picture that takes longer, the person is told the step.
SLOW_S = 15.0


class Gpu:
    """`phase` is what goes on there as (state, message), ("", "") for nothing: `rendering`, or
    `loading` with what is loaded."""

    def __init__(self, in_hand: InHand, watchdog: Watchdog) -> None:
        self.in_hand = in_hand
        self.watchdog = watchdog
        self.step_timer = StepTimer()
        self.phase = ("", "")
        self._steps, self._began = (0, 0), 0.0
        self._lock = threading.Lock()

    @property
    def steps(self) -> tuple[int, int]:
        """The denoising steps that are done of the picture that is rendered, and those of the
        whole picture; (0, 0) until it has taken SLOW_S and where none is."""
        return self._steps if time.monotonic() - self._began >= SLOW_S else (0, 0)

    def attempt(
        self,
        lease: Lease,
        *,
        loading: str,
        load: Callable[[], None],
        compute: Callable[[OnStep], T],
    ) -> T:
        """Wait for the GPU, `load` what `loading` names, record the attempt, and `compute` with
        a function to call after each step.

        Raises CellAborted for a cell that is not wanted any more, or that would not be stored
        before the process has to end, and whatever `load` and `compute` raise.
        """
        with self._recording(lease) as record_attempt, self._lock:
            lease.check_wanted()
            with self._showing("loading", loading):
                load()
            self.in_hand.enter_gpu(lease)
            record_attempt()
            lease.last_step_at = self._began = self.step_timer.begin()
            with self._showing("rendering"), self.watchdog.watching():
                return compute(self._stepper(lease))

    def _stepper(self, lease: Lease) -> OnStep:
        def on_step(done: int, total: int) -> None:
            self.watchdog.progress()
            self._steps = (done, total)
            lease.last_step_at = self.step_timer.step(done)
            lease.check_wanted()
            notice = self.in_hand.notice
            if notice and notice.left_s < self.step_timer.left_s(done, total):
                raise CellAborted

        return on_step

    def _recording(self, lease: Lease) -> AbstractContextManager[Callable[[], None]]:
        identity = self.in_hand.identity
        return self.in_hand.ledger.recording_attempt(
            lease.batch_id, lease.i, identity.machine, identity.worker
        )

    @contextmanager
    def _showing(self, state: str, message: str = "") -> Iterator[None]:
        """The heartbeat tells the person that this is going on."""
        self.phase = (state, message)
        try:
            yield
        finally:
            self.phase, self._steps = ("", ""), (0, 0)
