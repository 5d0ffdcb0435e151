"""The timers of a worker process. What a heartbeat says is in tests/worker/engine/test_phases.py
and tests/integration/tasks/test_outages.py."""

from __future__ import annotations

from common.errors import StoreUnreachable
from worker.process.heartbeat import PeriodicThread


def test_a_timer_goes_on_after_an_error() -> None:
    """Expected or not, what goes wrong in a worker's timer does not end it."""
    errors = iter([StoreUnreachable("503"), ValueError("a bug")])
    done: list[str] = []

    def work() -> None:
        for error in errors:
            raise error
        done.append("worked")
        timer.close()

    timer = PeriodicThread("test", work)
    timer.start()
    timer.join(30)
    assert done == ["worked"]
