"""How long a cell still takes."""

from __future__ import annotations

import pytest

from worker.tasks.step_timer import CAUTION, SPARE_S, UNKNOWN_TAIL_S, StepTimer


def test_what_fits_is_told_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step has the prompts' encoding in it; the tail is decoding and upload."""
    now = 0.0
    monkeypatch.setattr("worker.tasks.step_timer.time.monotonic", lambda: now)

    def after(seconds: float) -> None:
        nonlocal now
        now += seconds

    timer = StepTimer()
    timer.begin()
    after(1.0), timer.step(1)
    assert timer.left_s(1, 4) == pytest.approx(CAUTION * (3 * 1.0 + UNKNOWN_TAIL_S) + SPARE_S)
    for done in range(2, 20):
        after(0.1), timer.step(done)
    after(0.1)
    last = timer.step(20)
    after(0.5), timer.stored(last)
    assert timer.left_s(10, 20) == pytest.approx(CAUTION * (10 * 0.1 + 0.5) + SPARE_S, rel=0.2)
    timer.begin(), after(3.0), timer.step(1)
    assert timer.left_s(1, 20) < 10, "a first step is not taken for all of them"
