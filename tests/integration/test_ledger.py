"""Each rule of the ledger, on a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from common.dispatch import Ledger, WorkerReport, bitmap_of
from common.dispatch import ledger as ledger_module
from common.dispatch.ledger import Opening
from tests.support.servers import valkey

pytestmark = pytest.mark.integration

QUEUE, TASK = "gridfarm.1.1", "gridfarm.render_cell"
Patch = pytest.MonkeyPatch


def opened(ledger: Ledger, batch: str = "b-1", *, length: int = 20, **more: Any) -> str:
    fields = {"queue": QUEUE, "length": length, "total": length, "order": [(length, 1)]} | more
    ledger.open(Opening(batch_id=batch, **fields))
    return batch


def queued(ledger: Ledger, queue: str = QUEUE) -> list[tuple[str, int, int]]:
    """(batch, i, generation) of each message, next one first."""
    raw: Any = ledger.redis.lrange(queue, 0, -1)
    return [tuple(json.loads(json.loads(text)["body"])[0]) for text in reversed(raw)]


def taken(ledger: Ledger, queue: str = QUEUE) -> tuple[str, int, int]:
    """What a worker pops."""
    raw: Any = ledger.redis.rpop(queue)
    batch, i, generation = json.loads(json.loads(raw)["body"])[0]
    return batch, i, generation


def claimed(ledger: Ledger, i: int = 0, *, batch: str = "b-1", worker: str = "w1") -> None:
    assert ledger.claim(batch, i, 0, f"key-{i}", worker) == "ok"


def eventually(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_window_bounds_what_is_sent(ledger: Ledger) -> None:
    """A million cells put 16 messages on the queue, or three per thread of live workers."""
    opened(ledger, length=1_000_000)
    assert ledger.feed(QUEUE, TASK) == 16
    assert ledger.feed(QUEUE, TASK) == 0
    report = WorkerReport("w1", "m1", (QUEUE,), 10, "cpu", "listening")
    ledger.workers.heartbeat(report, ttl_ms=60_000)
    assert ledger.feed(QUEUE, TASK) == 14
    assert len(queued(ledger)) == 30


def test_a_leased_cell_counts_in_the_window(ledger: Ledger) -> None:
    opened(ledger, length=100)
    ledger.feed(QUEUE, TASK)
    _, i, _ = taken(ledger)
    claimed(ledger, i)
    assert ledger.feed(QUEUE, TASK) == 0
    ledger.done("b-1", i, f"key-{i}")
    assert ledger.feed(QUEUE, TASK) == 1


def test_the_frozen_order_is_followed(ledger: Ledger) -> None:
    """Axis lengths 2 × 3 with the second slowest: 0, 3, 1, 4, 2, 5."""
    opened(ledger, length=6, order=[(3, 1), (2, 3)])
    ledger.feed(QUEUE, TASK)
    assert [i for _, i, _ in queued(ledger)] == [0, 3, 1, 4, 2, 5]


def test_done_failed_and_holes_are_not_sent(ledger: Ledger) -> None:
    opened(ledger, length=6, total=5, done=bitmap_of([0], 6), holes=bitmap_of([1], 6),
           failures={2: "broken"})  # fmt: skip
    ledger.feed(QUEUE, TASK)
    assert [i for _, i, _ in queued(ledger)] == [3, 4, 5]
    status = ledger.status("b-1")
    assert status
    assert (status.total, status.done, status.failed) == (5, 1, 1)


def test_batches_share_the_queue_in_turn(ledger: Ledger) -> None:
    opened(ledger, "a-1")
    opened(ledger, "b-1")
    ledger.feed(QUEUE, TASK)
    assert [batch for batch, _, _ in queued(ledger)] == ["a-1", "b-1"] * 8


def test_a_higher_priority_goes_first(ledger: Ledger) -> None:
    opened(ledger, "a-1", priority=1)
    opened(ledger, "b-1", priority=2, length=10)
    ledger.feed(QUEUE, TASK)
    assert [batch for batch, _, _ in queued(ledger)] == ["b-1"] * 10 + ["a-1"] * 6


def test_a_claimed_cell_is_nobody_elses(ledger: Ledger) -> None:
    opened(ledger)
    claimed(ledger, 0, worker="w1")
    assert ledger.claim("b-1", 0, 0, "key-0", "w2") == "leased"
    assert ledger.claim("b-1", 0, 0, "key-0", "w1") == "leased"  # a redelivery to itself


def test_what_is_done_is_not_claimed_again(ledger: Ledger) -> None:
    opened(ledger)
    claimed(ledger)
    ledger.done("b-1", 0, "key-0")
    assert ledger.claim("b-1", 0, 0, "key-0", "w2") == "done"


def test_what_was_stored_already_is_counted_apart(ledger: Ledger) -> None:
    """A cell that is done without an attempt was found in the store, and takes nobody's time."""
    opened(ledger)
    for i in (0, 1, 2):
        claimed(ledger, i)
    ledger.record_attempt("b-1", 1, "m1", "w1")
    for i in (0, 0, 1, 2):
        ledger.done("b-1", i, f"key-{i}")
    status = ledger.status("b-1")
    assert status and (status.done, status.found) == (3, 2)


def test_a_stale_generation_is_refused(ledger: Ledger) -> None:
    opened(ledger, generation=3)
    assert ledger.claim("b-1", 0, 2, "key-0", "w1") == "stale"


def test_an_unknown_batch_is_refused(ledger: Ledger) -> None:
    assert ledger.claim("gone-1", 0, 0, "key-0", "w1") == "unknown"
    assert not ledger.done("gone-1", 0, "key-0")
    assert ledger.status("gone-1") is None
    assert ledger.redis.keys("*gone*") == []


def test_two_batches_render_a_common_key_once(ledger: Ledger) -> None:
    """The second is looked at again after five seconds, when the picture is stored."""
    opened(ledger, "a-1")
    opened(ledger, "b-1")
    assert ledger.claim("a-1", 0, 0, "shared", "w1") == "ok"
    assert ledger.claim("b-1", 7, 0, "shared", "w2") == "elsewhere"
    again: Any = ledger.redis.zscore("gridfarm:batch:b-1:again", 7)
    seconds, micros = ledger.redis.time()
    assert 0 < again - (seconds * 1000 + micros / 1000) <= 5000
    ledger.done("a-1", 0, "shared")
    assert ledger.claim("b-1", 7, 0, "shared", "w2") == "ok"


def test_a_renewed_lease_lives_on(ledger: Ledger, monkeypatch: Patch) -> None:
    monkeypatch.setattr(ledger_module, "LEASE_MS", 300)
    opened(ledger)
    claimed(ledger)
    before: Any = ledger.redis.zscore("gridfarm:batch:b-1:leases", 0)
    assert ledger.renew("b-1", 0, "key-0", "w1")
    after: Any = ledger.redis.zscore("gridfarm:batch:b-1:leases", 0)
    assert after >= before
    assert not ledger.renew("b-1", 0, "key-0", "w2")


def test_an_expired_lease_is_sent_again(ledger: Ledger, monkeypatch: Patch) -> None:
    """Given a worker that vanished, its cell goes out again, and only that one."""
    monkeypatch.setattr(ledger_module, "LEASE_MS", 50)
    monkeypatch.setattr(ledger_module, "SWEEP_EVERY_MS", 1)
    opened(ledger, length=1)
    ledger.feed(QUEUE, TASK)
    taken(ledger)
    claimed(ledger)
    assert ledger.feed(QUEUE, TASK) == 0
    eventually(lambda: ledger.sweep(QUEUE) and ledger.feed(QUEUE, TASK) == 1)
    assert [i for _, i, _ in queued(ledger)] == [0]


def test_a_frozen_worker_that_wakes_fails_nothing(ledger: Ledger, monkeypatch: Patch) -> None:
    """Done beats failed: what another worker stored stays done."""
    monkeypatch.setattr(ledger_module, "LEASE_MS", 30)
    opened(ledger)
    claimed(ledger, worker="frozen")
    eventually(lambda: ledger.claim("b-1", 0, 0, "key-0", "w2") == "ok")
    ledger.done("b-1", 0, "key-0")
    ledger.fail("b-1", 0, "key-0", "frozen", "late")
    status = ledger.status("b-1")
    assert status
    assert (status.done, status.failed, ledger.failures("b-1")) == (1, 0, {})


def test_done_beats_a_failure_from_before(ledger: Ledger) -> None:
    opened(ledger)
    claimed(ledger)
    ledger.fail("b-1", 0, "key-0", "w1", "bad")
    assert ledger.failures("b-1") == {0: "bad"}
    ledger.done("b-1", 0, "key-0")
    status = ledger.status("b-1")
    assert status
    assert (status.done, status.failed, ledger.failures("b-1")) == (1, 0, {})


def test_a_lost_message_is_sent_again(ledger: Ledger, monkeypatch: Patch) -> None:
    """The BRPOP hole: popped by a machine that vanished before it could claim."""
    monkeypatch.setattr(ledger_module, "LOST_AFTER_MS", 50)
    monkeypatch.setattr(ledger_module, "SWEEP_EVERY_MS", 1)
    opened(ledger, length=3)
    ledger.feed(QUEUE, TASK)
    _, lost, _ = taken(ledger)
    eventually(lambda: ledger.sweep(QUEUE) and ledger.feed(QUEUE, TASK) == 1)
    assert sorted(i for _, i, _ in queued(ledger)) == [0, 1, 2]
    assert lost == queued(ledger)[-1][1]


def test_a_message_that_waits_is_not_lost(ledger: Ledger, monkeypatch: Patch) -> None:
    monkeypatch.setattr(ledger_module, "LOST_AFTER_MS", 0)
    monkeypatch.setattr(ledger_module, "SWEEP_EVERY_MS", 1)
    opened(ledger, length=3)
    ledger.feed(QUEUE, TASK)
    eventually(lambda: ledger.sweep(QUEUE))
    assert ledger.feed(QUEUE, TASK) == 0


def test_only_one_sweeps_at_a_time(ledger: Ledger) -> None:
    assert ledger.sweep(QUEUE)
    assert not ledger.sweep(QUEUE)


def test_several_queues_are_fed_in_one_call(ledger: Ledger) -> None:
    opened(ledger, "a-1")
    opened(ledger, "b-1", queue="other", length=3, total=3)
    assert ledger.feed([QUEUE, "other"], TASK) == 16 + 3
    assert (ledger.redis.llen(QUEUE), ledger.redis.llen("other")) == (16, 3)
    assert ledger.feed([], TASK) == 0


def test_a_released_cell_waits_and_comes_back(ledger: Ledger) -> None:
    opened(ledger, length=1)
    ledger.feed(QUEUE, TASK)
    taken(ledger)
    claimed(ledger)
    assert ledger.record_attempt("b-1", 0, "m1", "w1") == (1, 1)
    ledger.release("b-1", 0, "key-0", "w1", pause_ms=60_000, undo_attempt=True)
    assert ledger.feed(QUEUE, TASK) == 0
    assert ledger.claim("b-1", 0, 0, "key-0", "w2") == "ok"
    assert ledger.record_attempt("b-1", 0, "m2", "w2") == (1, 1)  # the first was undone
    ledger.release("b-1", 0, "key-0", "w2")
    assert ledger.feed(QUEUE, TASK) == 1


def attempt(ledger: Ledger, machine: str, worker: str) -> tuple[int, int] | None:
    """On the GPU, and back; the attempt stays recorded."""
    ledger.claim("b-1", 0, 0, "key-0", worker)
    counts = ledger.record_attempt("b-1", 0, machine, worker)
    ledger.release("b-1", 0, "key-0", worker)
    return counts


def test_attempts_are_counted_with_their_machines(ledger: Ledger) -> None:
    opened(ledger)
    machines = ["m1", "m1", "m2"]
    assert [attempt(ledger, m, "w1") for m in machines] == [(1, 1), (2, 1), (3, 2)]
    assert ledger.attempts_of("b-1", 0) == machines


def test_an_attempt_counts_once_and_undoing_it_takes_no_other(ledger: Ledger) -> None:
    """Whatever cut connections repeat, and whether or not it came as far as the GPU."""
    opened(ledger)
    attempt(ledger, "m1", "w1")
    assert ledger.claim("b-1", 0, 0, "key-0", "w2") == "tried"
    assert [ledger.record_attempt("b-1", 0, "m2", "w2") for _ in range(2)] == [(2, 2)] * 2
    ledger.release("b-1", 0, "key-0", "w2", undo_attempt=True)
    assert ledger.attempts_of("b-1", 0) == ["m1"]
    ledger.claim("b-1", 0, 0, "key-0", "w2")
    ledger.release("b-1", 0, "key-0", "w2", undo_attempt=True)
    assert ledger.attempts_of("b-1", 0) == ["m1"]


def test_who_holds_a_cell_no_more_records_no_attempt(ledger: Ledger) -> None:
    """A machine that was frozen and wakes."""
    opened(ledger)
    claimed(ledger, worker="w2")
    assert ledger.record_attempt("b-1", 0, "m1", "w1") is None
    ledger.done("b-1", 0, "key-0")
    assert ledger.record_attempt("b-1", 0, "m2", "w2") is None
    assert ledger.attempts_of("b-1", 0) == []


POISON = """
import os, sys
from common.dispatch import Ledger
with Ledger(sys.argv[1]).recording_attempt("b-1", 0, "m1", "w1") as record_attempt:
    record_attempt()
    os._exit(137)
"""


def test_an_attempt_that_kills_its_process_at_once_is_recorded(ledger: Ledger) -> None:
    """The answer is not waited for, yet the record has left before the attempt begins."""
    opened(ledger)
    claimed(ledger)
    killed = subprocess.run([sys.executable, "-c", POISON, ledger.broker.url], timeout=60)
    assert killed.returncode == 137
    eventually(lambda: ledger.attempts_of("b-1", 0) == ["m1"])


def test_a_record_that_was_cut_off_goes_another_way(ledger: Ledger) -> None:
    opened(ledger)
    claimed(ledger)
    with ledger.recording_attempt("b-1", 0, "m1", "w1") as record_attempt:
        ledger.redis.client_kill_filter(skipme=True)
        record_attempt()
    assert ledger.attempts_of("b-1", 0) == ["m1"]


def test_a_record_counts_although_the_script_was_flushed(ledger: Ledger) -> None:
    """By an operator, or with the server's memory; nobody waits for this answer."""
    opened(ledger)
    claimed(ledger)
    with ledger.recording_attempt("b-1", 0, "m1", "w1") as record_attempt:
        ledger.redis.script_flush()
        record_attempt()
    assert ledger.attempts_of("b-1", 0) == ["m1"]


def test_a_second_process_must_agree_on_a_black_picture(ledger: Ledger) -> None:
    opened(ledger)
    assert not ledger.report_suspect_picture("b-1", 0, "p1")
    assert not ledger.report_suspect_picture("b-1", 0, "p1")
    assert ledger.report_suspect_picture("b-1", 0, "p2")


def test_cancel_stops_what_runs_and_forgets_what_was_sent(ledger: Ledger) -> None:
    opened(ledger)
    ledger.feed(QUEUE, TASK)
    claimed(ledger, 0)
    ledger.control("b-1", generation=1, state="cancelled", priority=1)
    assert not ledger.renew("b-1", 0, "key-0", "w1")
    assert ledger.claim("b-1", 1, 0, "key-1", "w1") == "stale"
    assert ledger.feed(QUEUE, TASK) == 0


def test_cancel_lets_a_cell_finish_that_another_batch_waits_for(ledger: Ledger) -> None:
    opened(ledger, "a-1")
    opened(ledger, "b-1")
    ledger.claim("a-1", 0, 0, "shared", "w1")
    ledger.claim("b-1", 3, 0, "shared", "w2")
    ledger.control("a-1", generation=1, state="cancelled", priority=1)
    assert ledger.renew("a-1", 0, "shared", "w1")


def test_pause_lets_running_cells_finish_and_resume_loses_none(ledger: Ledger) -> None:
    opened(ledger, length=4)
    ledger.feed(QUEUE, TASK)
    claimed(ledger, 0)
    ledger.control("b-1", generation=1, state="paused", priority=1)
    assert ledger.renew("b-1", 0, "key-0", "w1")
    ledger.done("b-1", 0, "key-0")
    assert ledger.feed(QUEUE, TASK) == 0
    ledger.control("b-1", generation=2, state="rendering", priority=1)
    ledger.feed(QUEUE, TASK)
    assert sorted(i for _, i, g in queued(ledger) if g == 2) == [1, 2, 3]


def test_the_last_cell_says_that_the_batch_is_finished(ledger: Ledger) -> None:
    opened(ledger, length=2)
    claimed(ledger, 0)
    assert not ledger.done("b-1", 0, "key-0")
    claimed(ledger, 1)
    assert ledger.fail("b-1", 1, "key-1", "w1", "bad")
    ledger.finish("b-1")
    status = ledger.status("b-1")
    assert status
    assert (status.state, status.done, status.failed) == ("done", 1, 1)
    assert ledger.active() == []


def test_opening_twice_changes_nothing(ledger: Ledger) -> None:
    opened(ledger)
    claimed(ledger)
    ledger.done("b-1", 0, "key-0")
    assert not ledger.open(Opening("b-1", QUEUE, 20, 20, [(20, 1)], generation=9))
    status = ledger.status("b-1")
    assert status
    assert (status.done, status.generation) == (1, 0)


def test_after_a_rebuild_the_one_who_renders_keeps_the_cell(ledger: Ledger) -> None:
    """Redis forgot everything while w1 rendered: the renewal takes the lease again."""
    opened(ledger, length=1)
    claimed(ledger)
    ledger.redis.flushall()
    assert ledger.renew("b-1", 0, "key-0", "w1")
    opened(ledger, length=1, generation=1)
    assert ledger.renew("b-1", 0, "key-0", "w1")
    assert ledger.claim("b-1", 0, 1, "key-0", "w2") == "leased"


def test_the_ledger_survives_a_killed_broker(tmp_path: Any) -> None:
    with valkey(tmp_path) as server:
        ledger = Ledger(server.url)
        opened(ledger)
        ledger.done("b-1", 3, "key-3")
        eventually(lambda: int(ledger.redis.info("persistence")["aof_pending_bio_fsync"]) == 0)
        server.restart()
        status = ledger.status("b-1")
        assert status
        assert status.done == 1


@pytest.mark.parametrize("put_back", [False, True])
def test_a_message_of_a_batch_in_another_script_is_taken_back(
    ledger: Ledger, put_back: bool
) -> None:
    """Kombu, which puts back what a dead worker had, writes its letters as escapes."""
    opened(ledger, "ünïcode-猫-1", length=4, priority=1)
    ledger.feed(QUEUE, TASK)
    assert [batch for batch, _, _ in queued(ledger)] == ["ünïcode-猫-1"] * 4
    if put_back:
        raw: Any = ledger.redis.lrange(QUEUE, 0, -1)
        ledger.redis.delete(QUEUE)
        ledger.redis.rpush(QUEUE, *(json.dumps(json.loads(text)) for text in raw))
    opened(ledger, "b-1", length=2, priority=2)
    ledger.feed(QUEUE, TASK)
    assert [taken(ledger)[0] for _ in range(6)] == ["b-1"] * 2 + ["ünïcode-猫-1"] * 4
