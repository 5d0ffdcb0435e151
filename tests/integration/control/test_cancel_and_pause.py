"""cancel, pause and resume, on a real broker and a folder store: what they do to messages, leases
and documents, and that no cell is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from common.batch import Batch
from common.dispatch import (
    Dispatcher,
    Ledger,
    LedgerStatus,
    is_set,
    read_control,
    read_failures,
    write_control,
)
from common.dispatch import ledger as ledger_module
from common.store import Store, object_names
from producer.batches import Controller
from producer.submission import Resolved, SubmitReport, submit
from tests.support.orders import frozen, put_pictures
from tests.support.servers import free_port
from tests.support.under_way import (
    CELLS,
    QUEUE,
    begun,
    failed,
    finished,
    key_of,
    ordered,
    seen,
    taken,
    work_off,
)


def test_cancel_stops_what_waits_and_what_runs(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """At once for what is not begun; a running cell is told at its next renewal and counts as
    running until it is handed back. What is stored stays."""
    put_pictures(store, night, [0])
    ledger.done(night.id, 4, key_of(night, 4))  # since the last snapshot
    begun(night, [1], ledger)
    answer, _ = gridfarm("cancel", "night")
    assert (answer["state"], answer["done"], answer["running"]) == ("cancelled", 1, 1)
    assert taken(ledger) is None
    assert ledger.claim(night.id, 2, 0, key_of(night, 2), "w2") == "stale"
    assert not ledger.renew(night.id, 1, key_of(night, 1), "w1")
    ledger.release(night.id, 1, key_of(night, 1), "w1")
    assert seen(night, ledger).running == 0
    assert read_control(store, night.id).state == "cancelled"
    assert not store.exists(object_names.active(night.id))
    assert is_set(store.get(object_names.done_bitmap(night.id)), 4)
    assert store.exists(object_names.picture(key_of(night, 0)))
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert taken(ledger) is None


@pytest.mark.parametrize("forgotten", [False, True], ids=["ledger known", "ledger gone"])
@pytest.mark.parametrize("how", ["resume", "submit"])
def test_what_was_cancelled_goes_on_without_losing_a_cell(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, how: str, forgotten: bool
) -> None:
    """Given one cell stored, one handed back, one whose machine vanished, one popped and never
    claimed, and the others waiting."""
    popped = taken(ledger)
    finished(night, [5], store, ledger)
    begun(night, [7, 8], ledger)
    gridfarm("cancel", "night")
    ledger.release(night.id, 7, key_of(night, 7), "w1")
    ledger.redis.zadd(f"gridfarm:batch:{night.id}:leases", {"8": 1})
    if forgotten:
        ledger.redis.flushall()
    if how == "resume":
        answer, _ = gridfarm("resume", "night")
        assert answer["state"] == "rendering"
    else:
        assert submit(Resolved(night), store, ledger).queued == CELLS - 1
    assert store.exists(object_names.active(night.id))
    assert popped and ledger.claim(*popped, key_of(night, popped[1]), "w1") == "stale"
    ledger.sweep(QUEUE)
    assert work_off(night, store, ledger) == Counter(set(range(CELLS)) - {5})
    assert read_control(store, night.id).state == "done"


def test_pause_holds_a_batch_and_submitting_it_leaves_it_held(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """Running cells finish; resume renders the rest once, first what was on its way."""
    begun(night, [0], ledger)
    on_its_way = [taken(ledger), taken(ledger)]
    assert on_its_way[1]
    answer, _ = gridfarm("pause", "night")
    assert answer["state"] == "paused"
    assert taken(ledger) is None
    assert ledger.renew(night.id, 0, key_of(night, 0), "w1")
    finished(night, [0], store, ledger)
    report = submit(Resolved(night), store, ledger)
    assert (report.state, seen(night, ledger).state) == ("paused", "paused")
    assert ledger.redis.llen(QUEUE) == 0
    gridfarm("resume", "night")
    assert f"{night.id}:{on_its_way[1][1]}:2:" in str(ledger.redis.lrange(QUEUE, 0, -1))
    assert work_off(night, store, ledger) == Counter(range(1, CELLS))


def test_a_paused_batch_stays_paused_when_redis_is_wiped(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    gridfarm("pause", "night")
    ledger.redis.flushall()
    assert submit(Resolved(night), store, ledger).state == "paused"
    ledger.redis.flushall()
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert (seen(night, ledger).state, taken(ledger)) == ("paused", None)


def test_submitting_again_while_it_runs_changes_nothing(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    begun(night, [0, 1], ledger)
    before = (read_control(store, night.id), seen(night, ledger), ledger.redis.lrange(QUEUE, 0, -1))
    report = submit(Resolved(night), store, ledger)
    assert report == SubmitReport(night.id, CELLS, CELLS, CELLS, 0)
    after = (read_control(store, night.id), seen(night, ledger), ledger.redis.lrange(QUEUE, 0, -1))
    assert after == before


COMMANDS: dict[str, tuple[list[str], Callable[[LedgerStatus | None], bool]]] = {
    "cancel": (["cancel"], lambda seen: seen is not None and seen.state == "cancelled"),
    "pause": (["pause"], lambda seen: seen is not None and seen.state == "paused"),
    "priority": (["priority"], lambda seen: seen is not None and seen.priority == 2),
    "retry": (["retry"], lambda seen: seen is not None and seen.failed == 0),
}


@pytest.mark.parametrize("wiped", [False, True], ids=["broker back", "broker wiped"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_broker_that_is_away_hears_of_it_later(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, command: str, wiped: bool
) -> None:
    """The command ends with 3 and says that the store has it; the ledger follows the store."""
    failed(night, [3], store, ledger)
    words, followed = COMMANDS[command]
    arguments = [*words, "night", *(["high"] if command == "priority" else [])]
    away = f"redis://127.0.0.1:{free_port()}/0"
    answer, _ = gridfarm(*arguments, code=3, broker=away)
    assert "the store has it" in answer["message"]
    assert not followed(ledger.status(night.id))
    if wiped:
        ledger.redis.flushall()
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert followed(ledger.status(night.id)) or (wiped and command == "cancel")
    assert store.exists(object_names.active(night.id)) == (command != "cancel")
    assert (ledger.active() == []) == (command == "cancel")


def test_a_cancellation_that_was_cut_off_is_ended(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    Controller(night.id, store, ledger).cancel()
    store.put(object_names.active(night.id), b"")
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert not store.exists(object_names.active(night.id))
    assert seen(night, ledger).state == "cancelled"


def test_a_cancelled_ledger_is_forgotten_after_a_day(
    night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that late workers add to it; resumed, it stays."""
    monkeypatch.setattr(ledger_module, "KEEP_FINISHED_MS", 600_000)
    begun(night, [0, 1, 2], ledger)
    Controller(night.id, store, ledger).cancel()
    ledger.release(night.id, 0, key_of(night, 0), "w1")
    ledger.done(night.id, 1, key_of(night, 1))
    ledger.fail(night.id, 2, key_of(night, 2), "w1", "bad")
    names: Any = ledger.redis.keys(f"gridfarm:batch:{night.id}*")
    assert len(names) > 3
    assert all(0 < int(ledger.redis.pttl(name)) <= 600_000 for name in names)  # type: ignore[arg-type]
    Controller(night.id, store, ledger).resume()
    assert {int(ledger.redis.pttl(name)) for name in names} <= {-1, -2}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b'{"state": "asleep"}', b'{"generation": "1"}', b'{"priority": -1}', b"[" * 9_999],
)
def test_a_damaged_control_holds_up_no_other_batch(
    night: Batch, store: Store, ledger: Ledger, document: bytes
) -> None:
    other = ordered(frozen("zebra"), store, ledger)
    store.put(object_names.control(night.id), document)
    ledger.redis.flushall()
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert ledger.active() == [other.id]


def test_a_note_that_is_damaged_or_just_taken_away(
    night: Batch, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild reads failures while a retry deletes them: the batch is not taken for removed."""
    for i, note in enumerate([b'{"reason": "bad LoRA"}', b"[1]", b""]):
        store.put(object_names.failure(night.id, i), note)
    names = [*store.list(object_names.failures(night.id)), object_names.failure(night.id, 7)]
    monkeypatch.setattr(type(store), "list", lambda *_: iter(names))
    damaged = "its note in failures/ is damaged"
    assert read_failures(store, night.id) == {0: "bad LoRA", 1: damaged, 2: damaged}


def test_a_rebuild_that_writes_over_a_cancellation_is_noticed(
    night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a worker that read control.json before the person wrote it and writes after."""
    read_before = read_control(store, night.id)
    rebuilt = replace(read_before, generation=1)

    def meanwhile(*_: Any) -> None:
        monkeypatch.undo()
        write_control(store, night.id, rebuilt)

    monkeypatch.setattr(Controller, "_tell", meanwhile)
    Controller(night.id, store, ledger).cancel()
    assert read_control(store, night.id).state == seen(night, ledger).state == "cancelled"
