"""Ends the process when a render makes no progress: a hung driver holds its thread for ever.

Progress is the begin of a render, each denoising step and its end; loading and downloading are
outside its clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK_S = 1.0
SLOWEST_TIMES = 30
#: Before and besides what was measured. SDXL at its full size takes minutes a step on a CPU.
FIRST_LIMIT_S = {"cuda": 120.0, "cpu": 1800.0}

OnStall = Callable[[str], None]


class Watchdog(threading.Thread):
    """Calls `on_stall(why)` once a render stood still for the limit: `stall_s`, by default
    30 times the longest that one ever stood still here, and at least FIRST_LIMIT_S of the
    device. Seconds are counted while this process runs, so one that was frozen (SIGSTOP, a
    suspended machine) is not blamed for it when it wakes."""

    def __init__(
        self,
        on_stall: OnStall,
        *,
        device: str = "cuda",
        stall_s: float | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._on_stall = on_stall
        self._fixed = stall_s
        self._first = FIRST_LIMIT_S["cuda" if device.startswith("cuda") else "cpu"]
        self._tick_s = tick_s
        self._closing = threading.Event()
        self._watching = False
        self._still_s = 0.0
        self._last = 0.0
        self._slowest_s = 0.0

    @property
    def limit_s(self) -> float:
        return self._fixed or max(self._first, SLOWEST_TIMES * self._slowest_s)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a render until it ends. One at a time: there is one GPU."""
        self._still_s, self._last, self._watching = 0.0, time.monotonic(), True
        try:
            yield
            self.progress()
        finally:
            self._watching = False

    def progress(self) -> None:
        """The render went a step further."""
        now = time.monotonic()
        # What the ticks saw of it, so that a freeze does not count as a slow step.
        self._slowest_s = max(self._slowest_s, min(now - self._last, self._still_s + self._tick_s))
        self._still_s, self._last = 0.0, now

    def close(self) -> None:
        self._closing.set()

    def run(self) -> None:
        last = time.monotonic()
        while not self._closing.wait(self._tick_s):
            now = time.monotonic()
            self._still_s += min(now - last, 2 * self._tick_s)
            last = now
            if self._watching and self._still_s > self.limit_s:
                self._on_stall(f"no progress in a render for {self._still_s:.0f} s")
                return
