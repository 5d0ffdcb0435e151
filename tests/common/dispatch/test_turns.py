"""Of several processes one does what is due, on a real broker."""

from __future__ import annotations

import time

from common.dispatch import Dispatcher, Ledger, queue_name
from common.dispatch.turns import Turns
from common.store import Store

WORK = {"work": 60_000}
QUEUES = (queue_name(), queue_name("cuda"))


def test_a_turn_is_one_process_until_it_is_over(ledger: Ledger) -> None:
    one, other = Turns(ledger.broker), Turns(Ledger(ledger.broker.url).broker)
    assert one.take("work", every_ms=60_000)
    assert not other.take("work", every_ms=60_000)
    assert not other.any_due(WORK)
    other.call("work")
    assert other.any_due(WORK)
    assert not one.put_off("work", 60_000)
    assert other.take("work", every_ms=60_000)
    assert other.put_off("work", 60_000)
    assert not one.take("work", every_ms=60_000)


def test_a_turn_from_before_the_clock_went_back_is_due(ledger: Ledger) -> None:
    """It would be for an hour."""
    turns = Turns(ledger.broker)
    assert turns.take("work", every_ms=3_600_000)
    assert turns.any_due(WORK)
    assert turns.take("work", every_ms=10_000, longest_ms=60_000)
    assert turns.put_off("work", 60_000)
    assert not turns.any_due(WORK)
    assert not turns.take("work", every_ms=10_000, longest_ms=60_000)


def test_who_dies_in_its_turn_is_followed(ledger: Ledger) -> None:
    turns = Turns(ledger.broker)
    assert turns.take("work", every_ms=20)
    deadline = time.monotonic() + 20
    while not turns.take("work", every_ms=60_000):
        assert time.monotonic() < deadline


def test_one_does_the_work_and_the_others_look_less_and_less_often(
    store: Store, ledger: Ledger
) -> None:
    """Two seconds for who did something; the others have asked one question, and changed
    nothing."""
    first, *others = [Dispatcher(store, ledger, QUEUES) for _ in range(4)]
    assert first.tick() == 2
    assert [other.tick() for other in others] == [1, 1, 1]
    steps_before = _steps(ledger)
    assert [others[0].tick() for _ in range(6)] == [2, 3, 4, 5, 5, 5]
    assert _steps(ledger) == steps_before
    ledger.redis.delete(*(f"gridfarm:swept:{queue}" for queue in QUEUES))
    assert others[0].tick() == 2


def test_a_broker_that_forgot_everything_is_due_at_once(store: Store, ledger: Ledger) -> None:
    dispatcher = Dispatcher(store, ledger, QUEUES)
    dispatcher.tick()
    assert not dispatcher.rebuild.reconcile()
    ledger.redis.flushall()
    assert dispatcher.rebuild.reconcile()


def _steps(ledger: Ledger) -> int:
    stats = ledger.redis.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])  # type: ignore[index]
