"""Submit, dispatch and rebuild, on a real broker and real stores: the store is the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.batch import Axis, Batch, Matrix, RangeAxis, Value
from common.dispatch import (
    Control,
    Dispatcher,
    Ledger,
    is_set,
    queue_name,
    queue_of,
    read_control,
    read_failures,
    write_control,
)
from common.errors import BrokerUnreachable
from common.job import BUILTIN_MODELS
from common.store import Store, object_names
from producer.batches import Controller, StatusWatcher
from producer.language.settings import DEFAULTS
from producer.submission import Resolved, SubmitReport, submit
from tests.support.pictures import as_if_rendered
from tests.support.servers import free_port, valkey

pytestmark = pytest.mark.integration


def batch(name: str = "night", *, seeds: int = 4, **settings: Any) -> Batch:
    complete = DEFAULTS | {"model": "tiny", "prompt": "a wolf", "steps": 2, "size": "64x64"}
    axis = RangeAxis(name="seed", first="0", last=str(seeds - 1))
    return Batch(name=name, settings=complete | settings, axes=(axis,), models=dict(BUILTIN_MODELS))


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


def counted(store: Store, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[tuple[str, str]]:
    """What of these is asked of the store from now on: (method, object name)."""
    asked: list[tuple[str, str]] = []

    def watched(method: str) -> Callable[..., Any]:
        real = getattr(store, method)

        def call(name: str, *rest: Any, **options: Any) -> Any:
            asked.append((method, name))
            return real(name, *rest, **options)

        return call

    for name in names:
        monkeypatch.setattr(store, name, watched(name))
    return asked


def snapshots_are_due(ledger: Ledger, document: Batch) -> None:
    ledger.redis.zadd("gridfarm:unsaved", {document.id: 0}, xx=True)
    ledger.redis.delete("gridfarm:once:write-down")


def test_done_bits_are_copied_when_they_have_changed_and_not_again(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle or paused batch writes nothing, however long it lies there."""
    order(batch(), store, ledger)
    finish_cell(batch(), 1, store, ledger)
    asked = counted(store, monkeypatch, "put")
    copy = ("put", object_names.done_bitmap(batch().id))
    for expected in ([copy], [], []):
        asked.clear()
        snapshots_are_due(ledger, batch())
        dispatcher(store, ledger).tick()
        assert asked == expected
    assert is_set(store.get(object_names.done_bitmap(batch().id)), 1)
    for state, expected in (("rendering", [copy]), ("cancelled", [])):
        ledger.control(batch().id, generation=1, state=state, priority=1)
        finish_cell(batch(), 2 if expected else 3, store, ledger)
        asked.clear()
        snapshots_are_due(ledger, batch())
        dispatcher(store, ledger).tick()
        assert asked == expected


def test_a_snapshot_that_failed_or_came_late_is_made_again(store: Store, ledger: Ledger) -> None:
    """Who was told to make it and died, and who wrote older bits over newer ones."""
    order(batch(), store, ledger)
    finish_cell(batch(), 1, store, ledger)
    snapshots_are_due(ledger, batch())
    assert ledger.unsaved() == {batch().id: 1}
    assert ledger.unsaved() == {}  # somebody is at it
    snapshots_are_due(ledger, batch())
    finish_cell(batch(), 2, store, ledger)
    assert ledger.unsaved() == {batch().id: 2}
    ledger.saved(batch().id, 2)
    assert ledger.redis.zcard("gridfarm:unsaved") == 0
    ledger.saved(batch().id, 1)
    snapshots_are_due(ledger, batch())
    assert ledger.unsaved() == {batch().id: 2}


def test_an_idle_batch_is_read_rarely_and_one_that_is_rendered_each_minute(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(batch("idle"), store, ledger)
    order(batch("busy"), store, ledger)
    rebuild = dispatcher(store, ledger).rebuild
    asked = counted(store, monkeypatch, "get")
    assert rebuild.reconcile()
    both = [("get", object_names.control(batch(name).id)) for name in ("busy", "idle")]
    store_id = ("get", object_names.STORE_ID)
    assert asked == [store_id, *both]
    assert ledger.claim(batch("busy").id, 0, 0, "key", "w1") == "ok"
    asked.clear()
    rebuild.turns.call("reconcile")
    assert rebuild.reconcile()
    assert asked == [store_id, *both[:1]]


def test_a_ledger_that_is_lost_alone_is_rebuilt(store: Store, ledger: Ledger) -> None:
    """The broker evicted what one batch is, and still lists it."""
    order(batch("lost"), store, ledger)
    rebuild = dispatcher(store, ledger).rebuild
    assert rebuild.reconcile()
    ledger.redis.delete(f"gridfarm:batch:{batch('lost').id}")
    rebuild.turns.call("reconcile")
    assert rebuild.reconcile()
    assert ledger.known(batch("lost").id)


def test_a_broker_that_is_wiped_during_a_look_is_looked_at_again(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(batch(), store, ledger)
    rebuild, listed = dispatcher(store, ledger).rebuild, store.list

    def wiped(prefix: str) -> Iterator[str]:
        yield from listed(prefix)
        ledger.redis.flushall()

    monkeypatch.setattr(store, "list", wiped)
    rebuild.reconcile()
    monkeypatch.undo()
    ledger.redis.delete(f"gridfarm:batch:{batch().id}")
    assert rebuild.reconcile()
    assert ledger.known(batch().id)


def test_what_was_ordered_while_the_broker_was_away_is_heard_when_it_is_back(
    store: Store, tmp_path: Path
) -> None:
    """By whoever has missed it, without waiting for the minute."""
    with valkey(tmp_path / "broker") as server:
        ledger = Ledger(server.url)
        order(batch(), store, ledger)
        worker = dispatcher(store, ledger)
        worker.tick()
        write_control(store, batch().id, Control(state="cancelled", generation=1))
        worker.tick()
        assert ledger.active() == [batch().id]
        server.kill()
        with pytest.raises(BrokerUnreachable):
            worker.tick()
        server.start()
        worker.tick()
        assert ledger.active() == []
