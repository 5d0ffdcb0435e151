"""How fast this process renders, to tell what still fits before the machine is taken."""

from __future__ import annotations

import time

#: From the last step to the stored picture, before one was measured here.
UNKNOWN_TAIL_S = 5.0
CAUTION = 1.2
SPARE_S = 1.0


class StepTimer:
    """Follows one cell after the other: `begin`, `step` for each denoising step, `stored`."""

    def __init__(self) -> None:
        self._step_s = 0.0
        self._tails_s = [UNKNOWN_TAIL_S]
        self._last = time.monotonic()

    def begin(self) -> float:
        """A render begins; its time (of time.monotonic())."""
        self._last = time.monotonic()
        return self._last

    def step(self, done: int) -> float:
        """A step has ended; its time (of time.monotonic()). The first of a cell has the
        encoding of its prompts in it, so it counts only where nothing else is known."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        if done > 1 or not self._step_s:
            # The base's steps and the refiner's differ: at least the latest, slow to forget.
            self._step_s = max(took, (self._step_s + took) / 2)
        return now

    def stored(self, last_step: float) -> None:
        """The picture of the cell whose last step ended at `last_step` is in the store."""
        measured = [] if self._tails_s == [UNKNOWN_TAIL_S] else self._tails_s
        self._tails_s = [*measured[-3:], time.monotonic() - last_step]

    def left_s(self, done: int, total: int) -> float:
        """Seconds until a cell that has done `done` of `total` steps is stored, with caution."""
        return CAUTION * ((total - done) * self._step_s + max(self._tails_s)) + SPARE_S
