"""How far a render is, and what its parts took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from worker.engine.pixels import check_finite

#: Called with the denoising steps that are done and those of both stages together.
OnStep = Callable[[int, int], None]


class Stopwatch:
    """Adds the time since the last lap to a part's total, in seconds."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.timings[part] = self.timings.get(part, 0.0) + now - self._last
        self._last = now


class ProgressCallback:
    """Follows both stages step by step; what the pipelines know as `callback_on_step_end`."""

    def __init__(self, total: int, stopwatch: Stopwatch, on_step: OnStep | None) -> None:
        self.total = total
        self.done = 0
        self.stopwatch = stopwatch
        self._on_step = on_step

    def __call__(self, pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """Raises SuspectPicture for NaN at a stage's end, and what `on_step` raises."""
        self.done += 1
        if self._on_step:
            self._on_step(self.done, self.total)
        if step + 1 == pipe.num_timesteps:
            check_finite(tensors["latents"], "the latents")
            self.stopwatch.lap("denoise")
        return {}
