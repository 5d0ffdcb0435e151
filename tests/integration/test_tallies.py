"""What the ledger writes down for its queues is what a walk over all batches finds, whatever was
done to them in whatever order; and what was lost of it comes back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from common.dispatch import Ledger, State, WorkerReport, bitmap_of
from common.dispatch import ledger as ledger_module
from common.dispatch.ledger import Opening
from tests.support.ledger_audit import TALLIES, Audit

pytestmark = pytest.mark.integration

QUEUES, TASK = ("gridfarm.1.1", "gridfarm.1.1.cuda"), "gridfarm.render_cell"
BATCHES = tuple(f"b-{n}" for n in range(6))
WORKERS = tuple(f"w{n}" for n in range(4))
STATES: tuple[State, ...] = ("rendering", "paused", "cancelled")
Cell = tuple[str, int, int]


class Steering:
    """Everything that happens to a ledger, at random. Some of it is nonsense: cells that nobody
    holds are done, batches that nobody knows are paused."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.chance = random.Random(seed)
        self.taken: list[Cell] = []
        self.steps: list[Callable[[], object]] = [
            self.open, self.feed, self.feed, self.take, self.take, self.claim, self.claim,
            self.done, self.fail, self.release, self.renew, self.control, self.retry, self.end,
            self.drop, self.sweep, self.beat, self.leave, self.skip,
        ]  # fmt: skip

    def step(self) -> str:
        step = self.chance.choice(self.steps)
        step()
        return step.__name__

    @property
    def batch(self) -> str:
        return self.chance.choice(BATCHES)

    @property
    def worker(self) -> str:
        return self.chance.choice(WORKERS)

    @property
    def cell(self) -> Cell:
        anything = (self.batch, self.chance.randrange(8), self.chance.randrange(3))
        return self.chance.choice(self.taken) if self.taken else anything

    def open(self) -> None:
        cells, batch = self.chance.choice((1, 5, 30)), self.batch
        done = self.chance.choice((b"", b"\xc0"[: cells > 1]))
        self.ledger.open(
            Opening(batch, QUEUES[BATCHES.index(batch) % 2], cells, cells, [(cells, 1)], done=done,
                    state=self.chance.choice(STATES[:2]), priority=self.chance.randrange(3))
        )  # fmt: skip

    def feed(self) -> None:
        self.ledger.feed(QUEUES, TASK)

    def take(self) -> None:
        raw: Any = self.ledger.redis.rpop(self.chance.choice(QUEUES))
        if raw:
            self.taken.append(tuple(json.loads(json.loads(raw)["body"])[0]))

    def claim(self) -> None:
        batch, i, generation = self.cell
        key = self.chance.choice((f"key-{i}", f"{batch}-{i}"))  # some are shared
        self.ledger.claim(batch, i, generation, key, self.worker)

    def done(self) -> None:
        batch, i, _ = self.cell
        self.ledger.done(batch, i, f"{batch}-{i}")

    def skip(self) -> None:
        batch, i, _ = self.cell
        self.ledger.skip(batch, i)

    def fail(self) -> None:
        batch, i, _ = self.cell
        self.ledger.fail(batch, i, f"{batch}-{i}", self.worker, "bad")

    def release(self) -> None:
        batch, i, _ = self.cell
        pause_ms = self.chance.choice((0, 0, 30, 60_000))
        self.ledger.release(batch, i, f"key-{i}", self.worker, pause_ms=pause_ms)

    def renew(self) -> None:
        batch, i, _ = self.cell
        self.ledger.renew(batch, i, f"{batch}-{i}", self.worker)

    def control(self) -> None:
        generation, state = self.chance.randrange(3), self.chance.choice(STATES)
        priority = self.chance.randrange(3)
        self.ledger.control(self.batch, generation=generation, state=state, priority=priority)

    def retry(self) -> None:
        done = self.chance.choice((None, b"\x80"))
        self.ledger.retry(self.batch, generation=1, priority=1, done=done)

    def end(self) -> None:
        self.ledger.finish(self.batch)

    def drop(self) -> None:
        if self.chance.random() < 0.3:
            self.ledger.drop(self.batch)

    def sweep(self) -> None:
        queue = self.chance.choice(QUEUES)
        if self.ledger.sweep(queue):
            busy: Any = self.ledger.redis.hget(f"gridfarm:queue:{queue}", "busy")
            assert int(busy) == Audit(self.ledger).holders(queue)

    def beat(self) -> None:
        queues = QUEUES[: self.chance.randrange(1, 3)]
        name = f"{self.worker}-{len(queues)}"
        said = WorkerReport(name, "m", queues, self.chance.randrange(1, 5), "cpu", "listening")
        self.ledger.workers.heartbeat(said, ttl_ms=self.chance.choice((-1, 60_000)))

    def leave(self) -> None:
        self.ledger.workers.leave(f"{self.worker}-{self.chance.randrange(1, 3)}")


@pytest.mark.parametrize("seed", range(6))
def test_a_walk_finds_the_same(ledger: Ledger, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "SWEEP_EVERY_MS", 1)
    monkeypatch.setattr(ledger_module, "LEASE_MS", 40)
    monkeypatch.setattr(ledger_module, "LOST_AFTER_MS", 20)
    steering = Steering(ledger, seed)
    for number in range(300):
        step = steering.step()
        for queue in QUEUES:
            ledger.feed([], TASK)  # whoever is gone is forgotten with the next step
            try:
                Audit(ledger).check(queue)
            except AssertionError as error:
                raise AssertionError(f"after step {number}, {step}: {error}") from error


@pytest.mark.parametrize("lost", ["", ":fed", ":later", *(f":{tally}" for tally in TALLIES)])
def test_what_is_lost_of_it_comes_back(
    ledger: Ledger, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that a full broker evicted, or that a ledger of an earlier version never had."""
    monkeypatch.setattr(ledger_module, "SWEEP_EVERY_MS", 1)
    for name in BATCHES[::2]:
        ledger.open(Opening(name, QUEUES[0], 30, 30, [(30, 1)]))
    said = WorkerReport("w1", "m", QUEUES[:1], 2, "cpu", "listening")
    ledger.workers.heartbeat(said, ttl_ms=60_000)
    ledger.feed(QUEUES[0], TASK)
    ledger.redis.delete(f"gridfarm:queue:{QUEUES[0]}{lost}")
    ledger.redis.delete(f"gridfarm:swept:{QUEUES[0]}")
    ledger.workers.heartbeat(said, ttl_ms=60_000)
    assert ledger.sweep(QUEUES[0])
    Audit(ledger).check(QUEUES[0])


def test_a_batch_whose_messages_are_forgotten_goes_on(ledger: Ledger) -> None:
    """The broker lost the key that says which of its cells were sent: the next sweep sees it."""
    ledger.open(Opening("b-1", QUEUES[0], 30, 30, [(30, 1)]))
    assert ledger.feed(QUEUES[0], TASK) == 16
    ledger.redis.delete("gridfarm:batch:b-1:sent")
    assert ledger.sweep(QUEUES[0])
    assert ledger.feed(QUEUES[0], TASK) == 14
    Audit(ledger).check(QUEUES[0])


@pytest.mark.parametrize("steps", range(6, 12))
def test_counts_that_are_wrong_hold_up_nobody(
    ledger: Ledger, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cells are done, and the broker lost count: a feed walks through them once, in pieces,
    and ends."""
    monkeypatch.setattr(ledger_module, "FEED_STEPS", steps)
    done = bitmap_of(range(60), 60)
    ledger.open(Opening("b-1", QUEUES[0], 60, 60, [(60, 1)], done=done))
    ledger.redis.hset("gridfarm:batch:b-1", "done", 1)
    ledger.skip("b-1", 0)
    assert ledger.feed(QUEUES[0], TASK) == 0
