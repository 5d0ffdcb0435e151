"""Which messages are lost, found at the old end of a queue; and a queue that is taken back from
in pieces, on a real broker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.dispatch import Ledger, WorkerReport
from common.dispatch import ledger as ledger_module
from common.dispatch.ledger import Opening

pytestmark = pytest.mark.integration

QUEUE, TASK = "gridfarm.1.1", "gridfarm.render_cell"
THREADS = 100
WINDOW = 3 * THREADS


@pytest.fixture
def ledger(broker: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Of a farm whose window is 300; what is seen off the queue twice is lost."""
    monkeypatch.setattr(ledger_module, "LOST_AFTER_MS", 0)
    ledger = Ledger(broker)
    said = WorkerReport("w1", "m1", (QUEUE,), THREADS, "cpu", "listening")
    ledger.workers.heartbeat(said, ttl_ms=600_000)
    return ledger


def opened(ledger: Ledger, batch: str = "b-1", *, length: int = WINDOW, **more: Any) -> None:
    ledger.open(Opening(batch, QUEUE, length, length, [(length, 1)], **more))
    ledger.feed(QUEUE, TASK)


def swept(ledger: Ledger) -> None:
    ledger.redis.delete(f"gridfarm:swept:{QUEUE}")
    assert ledger.sweep(QUEUE)
    ledger.feed(QUEUE, TASK)


def queued(ledger: Ledger) -> list[tuple[str, int]]:
    """(batch, cell) of each message of ours, next one first."""
    raws: Any = reversed(ledger.redis.lrange(QUEUE, 0, -1))  # type: ignore[arg-type]
    return [tuple(json.loads(json.loads(raw)["body"])[0][:2]) for raw in raws if b'"body"' in raw]


def cells(ledger: Ledger) -> list[int]:
    return sorted(i for _, i in queued(ledger))


def test_what_is_off_a_long_queue_is_found_at_its_old_end(ledger: Ledger) -> None:
    opened(ledger)
    for _ in range(5):
        ledger.redis.rpop(QUEUE)
    swept(ledger)
    assert cells(ledger) == [*range(WINDOW)]
    assert [i for _, i in queued(ledger)][-5:] == [0, 1, 2, 3, 4]
    swept(ledger)
    assert cells(ledger) == [*range(WINDOW)]


def test_what_is_claimed_is_not_lost(ledger: Ledger) -> None:
    opened(ledger)
    ledger.redis.rpop(QUEUE, 2)
    assert ledger.claim("b-1", 0, 0, "key-0", "w1") == "ok"
    swept(ledger)
    assert cells(ledger) == [*range(1, WINDOW)]


@pytest.mark.parametrize("end", ["lpush", "rpush"])
def test_what_was_put_back_makes_nothing_else_lost(ledger: Ledger, end: str) -> None:
    """By Celery, for a worker that ended, at either end of the queue: at the new one it may be
    sent twice, and is refused the second time."""
    opened(ledger)
    put_back: Any = ledger.redis.rpop(QUEUE)
    getattr(ledger.redis, end)(QUEUE, put_back)
    for _ in range(2):
        swept(ledger)
    assert cells(ledger)[-(WINDOW - 1) :] == [*range(1, WINDOW)]
    assert cells(ledger).count(0) in (1, 2)
    assert ledger.claim("b-1", 0, 0, "key-0", "w1") == "ok"
    assert ledger.claim("b-1", 0, 0, "key-0", "w1") == "leased"


def test_garbage_at_the_old_end_hides_nothing(ledger: Ledger) -> None:
    opened(ledger)
    ledger.redis.rpop(QUEUE)
    ledger.redis.rpush(QUEUE, *(f"garbage {n}" for n in range(20)))
    swept(ledger)
    assert cells(ledger) == [*range(WINDOW)]


@pytest.mark.parametrize("number", [1, 10**16, 10**30])
def test_a_number_that_nobody_gave_makes_nothing_lost(ledger: Ledger, number: int) -> None:
    opened(ledger)
    ledger.redis.rpush(QUEUE, f'{{"id": "b-1:7:0:{number}"}}')
    ledger.redis.rpush(QUEUE, f'{{"id": "none-1:7:0:{number}"}}')
    swept(ledger)
    assert cells(ledger) == [*range(WINDOW)]


def test_messages_are_numbered_upwards_when_the_last_number_is_lost(ledger: Ledger) -> None:
    opened(ledger, length=WINDOW - 100)
    ledger.redis.delete("gridfarm:sends")
    opened(ledger, "c-1", length=100)
    ledger.redis.rpop(QUEUE)
    swept(ledger)
    assert queued(ledger)[-1] == ("b-1", 0)
    assert len(queued(ledger)) == WINDOW


def test_only_the_least_is_taken_back_and_the_rest_keeps_its_order(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces, of which the last is a smaller one."""
    monkeypatch.setattr(ledger_module, "WITHDRAWN_AT_ONCE", 70)
    opened(ledger, "low-1", length=100, priority=0)
    opened(ledger, "high-1", length=200, priority=1)
    before = [cell for cell in queued(ledger) if cell[0] == "high-1"]
    opened(ledger, "next-1", length=10, priority=1)
    assert queued(ledger)[:200] == before
    assert [batch for batch, _ in queued(ledger)[200:]] == ["next-1"] * 10 + ["low-1"] * 90
    assert [i for _, i in queued(ledger)[210:]] == [*range(90)]


def test_a_pause_takes_back_its_own_messages_only(ledger: Ledger) -> None:
    opened(ledger, "a-1", length=150)
    opened(ledger, "b-1", length=150)
    ledger.control("a-1", generation=1, state="paused", priority=1)
    assert queued(ledger) == [("b-1", i) for i in range(150)]
    ledger.control("a-1", generation=2, state="rendering", priority=1)
    ledger.feed(QUEUE, TASK)
    assert queued(ledger)[150:] == [("a-1", i) for i in range(150)]


def test_a_cell_that_waits_is_sent_when_its_time_has_come(ledger: Ledger) -> None:
    """The only open cell of a batch that nothing else happens to."""
    opened(ledger, length=1)
    ledger.redis.rpop(QUEUE)
    ledger.claim("b-1", 0, 0, "key-0", "w1")
    ledger.release("b-1", 0, "key-0", "w1", pause_ms=60_000)
    assert ledger.feed(QUEUE, TASK) == 0
    for place in ("batch:b-1:again", f"queue:{QUEUE}:later"):
        member = "0" if place.startswith("batch") else "b-1"
        assert ledger.redis.zadd(f"gridfarm:{place}", {member: 1}, xx=True, ch=True)
    assert ledger.feed(QUEUE, TASK) == 1
