"""Which batch is rendered first, and how many workers have something to do, on a real broker."""

from __future__ import annotations

from collections import Counter
from typing import Any

from common.batch import Batch
from common.dispatch import (
    TASK_NAME,
    Ledger,
    WorkerReport,
    queue_name,
    read_control,
)
from common.dispatch.ledger import Opening
from common.store import Store
from producer.submission import Resolved, submit
from tests.support.orders import frozen
from tests.support.under_way import (
    CELLS,
    QUEUE,
    begun,
    finished,
    key_of,
    ordered,
    seen,
    taken,
    work_off,
)


def test_a_small_batch_behind_a_large_one_is_finished_long_before_it(ledger: Ledger) -> None:
    """Twelve threads, a window of 36; 20 cells submitted when 100,000 are under way take every
    other place from then on."""
    report = WorkerReport("w", "m", (QUEUE,), 12, "cpu", "rendering")
    ledger.workers.heartbeat(report, ttl_ms=600_000)
    ledger.open(Opening("large-1", QUEUE, 100_000, 100_000, [(100_000, 1)]))
    ledger.feed(QUEUE, TASK_NAME)
    ledger.open(Opening("small-1", QUEUE, 20, 20, [(20, 1)]))
    finished_at = rendered = 0
    while not finished_at:
        message = taken(ledger)
        assert message
        batch_id, i, generation = message
        assert ledger.claim(batch_id, i, generation, f"{batch_id} {i}", "w") == "ok"
        rendered += 1
        if ledger.done(batch_id, i, f"{batch_id} {i}"):
            finished_at = rendered
        ledger.feed(QUEUE, TASK_NAME)
    assert finished_at <= 36 + 2 * 20


def test_a_higher_priority_goes_before_what_was_sent_already(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """Submitted, or given in flight; what goes back to the end is sent later, once."""
    urgent = frozen("urgent", seeds="50..53")
    submit(Resolved(urgent), store, ledger, priority=2)
    assert [taken(ledger)[0] for _ in range(5)] == [urgent.id] * 4 + [night.id]  # type: ignore[index]
    later = ordered(frozen("later", seeds="60..63"), store, ledger)
    answer, _ = gridfarm("priority", "later", "high")
    assert answer["priority"] == "high"
    assert {taken(ledger)[0] for _ in range(4)} == {later.id}  # type: ignore[index]
    gridfarm("priority", "later", "low")
    assert seen(later, ledger).priority == read_control(store, later.id).priority == 0


def test_priority_can_be_given_by_submitting_again(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    submit(Resolved(night), store, ledger, priority=2)
    assert (seen(night, ledger).priority, read_control(store, night.id).priority) == (2, 2)
    submit(Resolved(night), store, ledger)
    assert read_control(store, night.id).priority == 2
    assert work_off(night, store, ledger) == Counter(range(CELLS))


def wanted(ledger: Ledger, queue: str = "") -> int:
    return int(ledger.redis.hlen(f"gridfarm:wanted{queue and ':' + queue}"))  # type: ignore[arg-type]


def test_autoscalers_are_told_how_many_workers_have_something_to_do(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """A worker for four open cells, and all that hold one now, in each queue and altogether."""
    assert (wanted(ledger), wanted(ledger, QUEUE)) == (6, 6)
    pinned = ordered(frozen("pinned").model_copy(update={"gpu": "l4"}), store, ledger)
    assert [wanted(ledger), wanted(ledger, QUEUE), wanted(ledger, queue_name("l4"))] == [7, 6, 1]
    gridfarm("cancel", pinned.id)
    finished(night, range(21), store, ledger)
    for i, worker in enumerate(["w1", "w2"], 21):
        assert ledger.claim(night.id, i, 0, key_of(night, i), worker) == "ok"
    ledger.sweep(QUEUE)
    assert (wanted(ledger), wanted(ledger, queue_name("l4"))) == (2, 0)
    gridfarm("pause", "night")
    assert wanted(ledger) == 2  # they render on
    finished(night, [21, 22], store, ledger)
    ledger.redis.delete(f"gridfarm:swept:{QUEUE}")
    ledger.sweep(QUEUE)
    assert not ledger.redis.exists("gridfarm:wanted")
    gridfarm("resume", "night")
    assert wanted(ledger) == 1
    begun(night, [23], ledger, generation=2)
    finished(night, [23], store, ledger)
    assert not ledger.redis.exists("gridfarm:wanted")


def test_a_huge_batch_wants_a_thousand_at_most(ledger: Ledger) -> None:
    ledger.open(Opening("large-1", QUEUE, 1_000_000, 1_000_000, [(1_000_000, 1)]))
    assert wanted(ledger) == 1_000
    ledger.drop("large-1")
    assert wanted(ledger) == 0
