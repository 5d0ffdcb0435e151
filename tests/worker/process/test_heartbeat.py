"""The timers of a worker process. What a heartbeat says is in tests/worker/engine/test_phases.py
and tests/integration/tasks/test_outages.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.dispatch import FarmStore, Ledger, WorkerReport
from common.errors import StoreUnreachable
from common.store import open_store
from tests.support.idle_workers import idle_task
from worker.process import heartbeat as heartbeat_module
from worker.process.heartbeat import PERIOD_S, Heartbeat, PeriodicThread, next_in


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


def test_work_says_when_it_wants_to_be_done_again() -> None:
    """Never sooner, and not by all workers at the same moment; two seconds if it says nothing."""
    for asked, seconds in ((5.0, 5.0), (None, PERIOD_S)):
        waits = {next_in(asked) for _ in range(100)}
        assert seconds <= min(waits) < max(waits) <= 1.25 * seconds


def test_what_has_not_changed_is_not_said_at_each_look(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has is said at once, and all of it again after a while: a worker that says nothing is
    gone."""
    monkeypatch.setattr(heartbeat_module, "BEAT_EVERY_S", 1_000)
    ledger = Ledger(broker)
    task = idle_task(FarmStore(open_store(str(tmp_path)), ledger))
    heartbeat = Heartbeat(ledger, task, WorkerReport("w1", "m1", ("q",), 1, "cpu", ""))
    heartbeat.look()
    seen = _alive_until(ledger)
    heartbeat.look()
    assert _alive_until(ledger) == seen
    task.phase = ("loading", "tiny")
    heartbeat.look()
    assert [w.state for w in ledger.workers.alive()] == ["loading"]
    ledger.redis.delete("gridfarm:alive")
    heartbeat.look()
    assert _alive_until(ledger) is None
    monkeypatch.setattr(heartbeat_module, "BEAT_EVERY_S", 0)
    heartbeat.look()
    assert _alive_until(ledger)


def test_a_step_goes_with_the_beat_that_comes_anyway(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step costs the broker a request of its own."""
    ledger = Ledger(broker)
    task = idle_task(FarmStore(open_store(str(tmp_path)), ledger))
    heartbeat = Heartbeat(ledger, task, WorkerReport("w1", "m1", ("q",), 1, "cpu", ""))
    task.phase = ("rendering", "")
    said = []
    for every_s in (1_000, 1_000, 0):
        monkeypatch.setattr(heartbeat_module, "BEAT_EVERY_S", every_s)
        task.steps = (task.steps[0] + 1, 50)
        heartbeat.look()
        said += [(worker.step, worker.steps) for worker in ledger.workers.alive()]
    assert said == [(1, 50), (1, 50), (3, 50)]
    task.phase = ("loading", "tiny")
    heartbeat.look()
    assert [(w.state, w.step, w.steps) for w in ledger.workers.alive()] == [("loading", 0, 0)]


def _alive_until(ledger: Ledger) -> object:
    return ledger.redis.zscore("gridfarm:alive", "w1")
