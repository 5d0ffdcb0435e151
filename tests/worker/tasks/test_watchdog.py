"""The watchdog's clock. That a stalled process ends is in tests/integration/test_preemption.py."""

from __future__ import annotations

import threading
import time

import pytest

from worker.tasks import Watchdog, watchdog
from worker.tasks.watchdog import FIRST_LIMIT_S, SLOWEST_TIMES


@pytest.fixture
def stalls() -> list[str]:
    return []


def started(stalls: list[str], stall_s: float | None) -> tuple[Watchdog, threading.Event]:
    barked = threading.Event()

    def on_stall(why: str) -> None:
        stalls.append(why)
        barked.set()

    dog = Watchdog(on_stall, stall_s=stall_s, tick_s=0.01)
    dog.start()
    return dog, barked


def test_a_render_that_stands_still_is_reported_once(stalls: list[str]) -> None:
    dog, barked = started(stalls, 0.1)
    with dog.watching():
        assert barked.wait(10)
        dog.join(10)
    assert len(stalls) == 1
    assert "no progress in a render for" in stalls[0]


def test_steps_keep_it_quiet(stalls: list[str]) -> None:
    dog, _ = started(stalls, 0.5)
    with dog.watching():
        for _ in range(10):
            time.sleep(0.1)
            dog.progress()
    dog.close()
    assert not stalls


def test_loading_and_idling_are_outside_its_clock(stalls: list[str]) -> None:
    dog, _ = started(stalls, 0.05)
    time.sleep(0.3)
    with dog.watching():
        pass
    time.sleep(0.3)
    dog.close()
    assert not stalls


def test_a_frozen_process_is_not_blamed(stalls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As after SIGSTOP and SIGCONT: the clock has jumped, the render goes on."""
    dog, _ = started(stalls, 1.0)
    real, frozen = time.monotonic, 0.0
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: real() + frozen)
    with dog.watching():
        time.sleep(0.05)
        frozen = 3600.0
        time.sleep(0.1)
        dog.progress()
    dog.close()
    assert not stalls
    assert dog._slowest_s < 1


@pytest.mark.parametrize(
    ("device", "slowest", "limit"),
    [
        ("cuda:1", 0.25, FIRST_LIMIT_S["cuda"]),
        ("cpu", 2.0, FIRST_LIMIT_S["cpu"]),
        ("cuda", 10.0, SLOWEST_TIMES * 10.0),
    ],
)
def test_the_limit_follows_the_slowest_step(device: str, slowest: float, limit: float) -> None:
    dog = Watchdog(lambda _: None, device=device)
    dog._slowest_s = slowest
    assert dog.limit_s == limit
