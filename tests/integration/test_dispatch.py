"""Submit, dispatch and rebuild, on a real broker and real stores: the store is the truth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.batch import Axis, Batch, Matrix, RangeAxis, Value
from common.dispatch import (
    Dispatcher,
    Ledger,
    is_set,
    queue_name,
    queue_of,
    read_control,
    read_failures,
)
from common.errors import BrokerUnreachable
from common.job import BUILTIN_MODELS
from common.store import Store, object_names
from producer.batches import Controller, StatusWatcher
from producer.language.settings import DEFAULTS
from producer.submission import Resolved, SubmitReport, submit
from tests.support.pictures import as_if_rendered
from tests.support.servers import free_port

pytestmark = pytest.mark.integration


def batch(name: str = "night", *, seeds: int = 4, **settings: Any) -> Batch:
    complete = DEFAULTS | {"model": "tiny", "prompt": "a wolf", "steps": 2, "size": "64x64"}
    axis = RangeAxis(name="seed", first="0", last=str(seeds - 1))
    return Batch(name=name, settings=complete | settings, axes=(axis,), models=dict(BUILTIN_MODELS))


@pytest.fixture
def ledger(broker: str) -> Ledger:
    return Ledger(broker)


def order(document: Batch, store: Store, ledger: Ledger) -> SubmitReport:
    return submit(Resolved(document), store, ledger)


def put_picture(document: Batch, i: int, store: Store) -> None:
    cell = Matrix(document)[i]
    assert cell
    store.put(object_names.picture(cell.key), as_if_rendered(cell.key))


def finish_cell(document: Batch, i: int, store: Store, ledger: Ledger) -> None:
    put_picture(document, i, store)
    cell = Matrix(document)[i]
    assert cell
    ledger.done(document.id, i, cell.key)


def dispatcher(store: Store, ledger: Ledger) -> Dispatcher:
    return Dispatcher(store, ledger, [queue_name()])


def test_submit_freezes_the_batch_and_feeds_the_queue(store: Store, ledger: Ledger) -> None:
    report = order(batch(), store, ledger)
    assert report == SubmitReport(batch().id, cells=4, jobs=4, queued=4, stored=0)
    assert store.get(object_names.batch(report.batch)) == batch().to_bytes()
    assert store.exists(object_names.active(report.batch))
    assert ledger.redis.llen(queue_name()) == 4


def test_the_same_file_again_is_the_same_batch(store: Store, ledger: Ledger) -> None:
    """While it is under way nothing is sent twice, and the generation stays."""
    first = order(batch(), store, ledger)
    finish_cell(batch(), 2, store, ledger)
    again = order(batch(), store, ledger)
    assert (again.batch, again.queued, again.stored) == (first.batch, 3, 1)
    assert ledger.redis.llen(queue_name()) == 4
    assert read_control(store, first.batch).generation == 0


def test_a_seed_more_renders_only_the_new_cells(store: Store, ledger: Ledger) -> None:
    for i in range(4):
        put_picture(batch(), i, store)
    report = order(batch(seeds=5), store, ledger)
    assert (report.queued, report.stored) == (1, 4)
    [raw] = ledger.redis.lrange(queue_name(), 0, -1)  # type: ignore[misc]
    assert json.loads(json.loads(raw)["body"])[0] == [report.batch, 4, 0]


def test_all_stored_queues_nothing_and_is_done(store: Store, ledger: Ledger) -> None:
    for i in range(4):
        put_picture(batch(), i, store)
    report = order(batch(), store, ledger)
    assert (report.queued, report.stored) == (0, 4)
    assert not store.exists(object_names.active(report.batch))
    assert StatusWatcher(report.batch, batch(), store, ledger).status().state == "done"


def test_a_wiped_broker_is_rebuilt_from_the_store(store: Store, ledger: Ledger) -> None:
    """Nobody watches: the next tick of any worker knows the batch again, what was stored
    before the last snapshot is done, what failed stays failed, old messages are stale."""
    report = order(batch(), store, ledger)
    finish_cell(batch(), 0, store, ledger)
    store.put(object_names.failure(report.batch, 1), json.dumps({"reason": "bad LoRA"}).encode())
    dispatcher(store, ledger).ending.snapshot(report.batch)
    ledger.redis.flushall()
    dispatcher(store, ledger).tick()
    status = ledger.status(report.batch)
    assert status
    assert (status.done, status.failed, status.total, status.generation) == (1, 1, 4, 1)
    assert ledger.failures(report.batch) == {1: "bad LoRA"}
    assert ledger.redis.llen(queue_name()) == 2
    assert ledger.claim(report.batch, 2, 0, "key", "w1") == "stale"


def test_a_producer_that_died_before_redis_is_made_good(store: Store, ledger: Ledger) -> None:
    """The batch is in the store and no ledger knows it: the next tick opens it."""
    document = batch()
    store.put(object_names.batch(document.id), document.to_bytes())
    store.put(object_names.active(document.id), b"")
    dispatcher(store, ledger).tick()
    assert ledger.redis.llen(queue_name()) == 4


def test_an_empty_ledger_is_looked_for_by_one_process_at_a_time(
    store: Store, ledger: Ledger
) -> None:
    document = batch()
    dispatcher(store, ledger).rebuild.reconcile()
    store.put(object_names.batch(document.id), document.to_bytes())
    store.put(object_names.active(document.id), b"")
    dispatcher(store, ledger).rebuild.reconcile()
    assert not ledger.known(document.id)


def test_a_finished_batch_is_written_down(store: Store, ledger: Ledger) -> None:
    """The marker is gone, the bitmap and the list of cells are there, the state is done."""
    report = order(batch(), store, ledger)
    for i in range(3):
        finish_cell(batch(), i, store, ledger)
    cell = Matrix(batch())[3]
    assert cell
    assert ledger.fail(report.batch, 3, cell.key, "w1", "bad LoRA")
    dispatcher(store, ledger).tick()
    assert not store.exists(object_names.active(report.batch))
    bits = store.get(object_names.done_bitmap(report.batch))
    assert [is_set(bits, i) for i in range(4)] == [True, True, True, False]
    lines = [json.loads(line) for line in store.get(object_names.cells(report.batch)).splitlines()]
    assert [line["failed"] for line in lines] == [None, None, None, "bad LoRA"]
    assert read_control(store, report.batch).state == "done"


def test_submitting_again_never_retries_failed_cells(store: Store, ledger: Ledger) -> None:
    report = order(batch(), store, ledger)
    for i in range(3):
        finish_cell(batch(), i, store, ledger)
    store.put(object_names.failure(report.batch, 3), json.dumps({"reason": "bad LoRA"}).encode())
    cell = Matrix(batch())[3]
    assert cell
    ledger.fail(report.batch, 3, cell.key, "w1", "bad LoRA")
    dispatcher(store, ledger).tick()
    again = order(batch(), store, ledger)
    assert (again.queued, again.stored) == (0, 3)
    assert read_failures(store, report.batch) == {3: "bad LoRA"}


def test_a_picture_that_was_removed_is_rendered_again(store: Store, ledger: Ledger) -> None:
    for i in range(4):
        put_picture(batch(), i, store)
    order(batch(), store, ledger)
    cell = Matrix(batch())[1]
    assert cell
    store.delete(object_names.picture(cell.key))
    report = order(batch(), store, ledger)
    assert (report.queued, ledger.redis.llen(queue_name())) == (1, 1)


def test_submitting_a_cancelled_batch_resumes_it(store: Store, ledger: Ledger) -> None:
    report = order(batch(), store, ledger)
    ledger.redis.delete(queue_name())
    Controller(report.batch, store, ledger).cancel()
    order(batch(), store, ledger)
    status = ledger.status(report.batch)
    assert status
    assert status.state == "rendering"
    assert ledger.redis.llen(queue_name()) == 4


def test_status_without_a_broker_reads_the_store(store: Store, ledger: Ledger) -> None:
    report = order(batch(), store, ledger)
    put_picture(batch(), 0, store)
    away = Ledger(f"redis://127.0.0.1:{free_port()}/0")
    for nobody in (None, away):
        seen = StatusWatcher(report.batch, batch(), store, nobody).status()
        assert (seen.state, seen.jobs, seen.done, seen.waiting) == ("rendering", 4, 1, 3)


def test_a_broker_that_is_down_leaves_nothing_half_ordered(store: Store) -> None:
    away = Ledger(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(BrokerUnreachable):
        submit(Resolved(batch(), {"ab" * 32: b"a LoRA"}), store, away)
    assert list(store.list("")) == []


def test_cells_that_need_cuda_go_to_cuda_workers() -> None:
    assert queue_of(batch()) == "gridfarm.2.1"
    assert queue_of(batch(noise="cuda")) == "gridfarm.2.1.cuda"
    assert queue_of(batch().model_copy(update={"gpu": "l4"})) == "gridfarm.2.1.l4"


def test_a_removed_batch_does_not_hold_up_the_others(store: Store, ledger: Ledger) -> None:
    """Its marker without its document: the marker goes, the other batch is rebuilt and fed."""
    order(batch("kept"), store, ledger)
    order(batch("removed"), store, ledger)
    store.delete(object_names.batch(batch("removed").id))
    ledger.redis.flushall()
    dispatcher(store, ledger).tick()
    assert ledger.active() == [batch("kept").id]
    assert [*store.list(object_names.ACTIVE)] == [object_names.active(batch("kept").id)]
    assert ledger.redis.llen(queue_name()) == 4


def test_equal_cells_are_sent_once(store: Store, ledger: Ledger) -> None:
    """Four seeds, each twice: eight cells, four messages, and the batch ends after four."""
    twins = Axis(name="variant", values=(
        Value(label="one", settings={}), Value(label="other", settings={"guidance_scale": 5.0})
    ))  # fmt: skip
    document = batch().model_copy(update={"axes": (*batch().axes, twins)})
    report = order(document, store, ledger)
    assert (report.cells, report.jobs, report.queued) == (8, 4, 4)
    assert ledger.redis.llen(queue_name()) == 4
    for i in (0, 2, 4, 6):
        finish_cell(document, i, store, ledger)
    dispatcher(store, ledger).tick()
    assert not store.exists(object_names.active(report.batch))


def test_a_wiped_ledger_never_overwrites_the_snapshot(store: Store, ledger: Ledger) -> None:
    report = order(batch(), store, ledger)
    finish_cell(batch(), 1, store, ledger)
    dispatcher(store, ledger).ending.snapshot(report.batch)
    kept = store.get(object_names.done_bitmap(report.batch))
    ledger.redis.flushall()
    dispatcher(store, ledger).ending.snapshot(report.batch)
    assert store.get(object_names.done_bitmap(report.batch)) == kept != b""
