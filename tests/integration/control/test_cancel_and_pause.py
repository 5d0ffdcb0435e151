"""cancel, pause, resume, retry, priority, on a real broker and a folder store: what they do to
messages, leases and documents, and that no cell is lost on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch, Matrix
from common.dispatch import (
    TASK_NAME,
    Dispatcher,
    Ledger,
    LedgerStatus,
    WorkerReport,
    is_set,
    queue_name,
    read_control,
    read_failures,
    write_control,
)
from common.dispatch import ledger as ledger_module
from common.dispatch.ledger import Opening
from common.store import Store, object_names, open_store
from producer.batches import Controller
from producer.cli.main import run
from producer.submission import Resolved, SubmitReport, submit
from tests.support.orders import frozen, put_pictures
from tests.support.servers import free_port

pytestmark = pytest.mark.integration

QUEUE = queue_name()
CELLS = 24


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def ledger(broker: str) -> Ledger:
    return Ledger(broker)


@pytest.fixture
def gridfarm(store: Store, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> Any:
    """`gridfarm COMMAND … --json` on the farm: its answer, and what it said beside it."""

    def call(*arguments: str, code: int = 0, broker: str = "") -> tuple[Any, str]:
        where = ["--store", store.url, "--broker", broker or ledger.broker.url, "--json"]
        ended = run([*arguments, *where])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out), err

    return call


@pytest.fixture
def night(store: Store, ledger: Ledger) -> Batch:
    """A batch of CELLS cells that was just submitted; its first 16 are on the queue."""
    return ordered(frozen(seeds=f"0..{CELLS - 1}"), store, ledger)


def ordered(batch: Batch, store: Store, ledger: Ledger) -> Batch:
    submit(Resolved(batch), store, ledger)
    return batch


def key_of(batch: Batch, i: int) -> str:
    cell = Matrix(batch)[i]
    assert cell
    return cell.key


def seen(batch: Batch, ledger: Ledger) -> LedgerStatus:
    status = ledger.status(batch.id)
    assert status
    return status


def taken(ledger: Ledger) -> tuple[str, int, int] | None:
    """What a worker pops: batch, cell, generation."""
    raw: Any = ledger.redis.rpop(QUEUE)
    return tuple(json.loads(json.loads(raw)["body"])[0]) if raw else None


def begun(batch: Batch, cells: Iterable[int], ledger: Ledger, *, generation: int = 0) -> None:
    for i in cells:
        assert ledger.claim(batch.id, i, generation, key_of(batch, i), "w1") == "ok"


def finished(batch: Batch, cells: Iterable[int], store: Store, ledger: Ledger) -> None:
    put_pictures(store, batch, cells)
    for i in cells:
        ledger.done(batch.id, i, key_of(batch, i))


def failed(batch: Batch, cells: Iterable[int], store: Store, ledger: Ledger) -> None:
    for i in cells:
        store.put(object_names.failure(batch.id, i), b'{"reason": "bad LoRA"}')
        begun(batch, [i], ledger)
        ledger.fail(batch.id, i, key_of(batch, i), "w1", "bad LoRA")


def work_off(batch: Batch, store: Store, ledger: Ledger) -> Counter[int]:
    """A pool renders until the queue stays empty; how often each cell was rendered."""
    rendered: Counter[int] = Counter()
    dispatcher = Dispatcher(store, ledger, [QUEUE])
    dispatcher.feed()
    while message := taken(ledger):
        _, i, generation = message
        if ledger.claim(batch.id, i, generation, key_of(batch, i), "w9") == "ok":
            rendered[i] += 1
            if ledger.done(batch.id, i, key_of(batch, i)):
                dispatcher.finish(batch.id)
        dispatcher.feed()
    return rendered


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


@pytest.mark.parametrize("state", ["running", "done", "done and forgotten", "cancelled"])
def test_retry_renders_failed_cells_and_no_others(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, state: str
) -> None:
    failed(night, [3, 20], store, ledger)
    others = [i for i in range(CELLS) if i not in (3, 20)]
    if state != "running":
        finished(night, others, store, ledger)
    if state == "cancelled":
        Controller(night.id, store, ledger).cancel()
    elif state.startswith("done"):
        Dispatcher(store, ledger, [QUEUE]).finish(night.id)
    if state == "done and forgotten":
        ledger.redis.flushall()
    answer, said = gridfarm("retry", "night", "--priority", "high")
    assert (answer["failed"], answer["priority"]) == (0, "high")
    assert "2 cells to render again" in said
    assert read_failures(store, night.id) == {}
    assert store.exists(object_names.active(night.id))
    expected = range(CELLS) if state == "running" else (3, 20)
    assert work_off(night, store, ledger) == Counter(expected)
    assert read_control(store, night.id).state == "done"


def test_retry_all_renders_what_is_not_stored_any_more(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """Given a batch that is done, one of whose pictures was deleted since."""
    failed(night, [3], store, ledger)
    finished(night, [i for i in range(CELLS) if i != 3], store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(night.id)
    store.delete(object_names.picture(key_of(night, 9)))
    answer, said = gridfarm("retry", "night", "--all")
    assert (answer["done"], answer["waiting"]) == (CELLS - 2, 2)
    assert "2 cells to render again" in said
    assert work_off(night, store, ledger) == Counter([3, 9])


def test_retry_all_keeps_running_cells(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    begun(night, [0], ledger)
    gridfarm("retry", "night", "--all")
    assert ledger.renew(night.id, 0, key_of(night, 0), "w1")
    assert work_off(night, store, ledger) == Counter(range(1, CELLS))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["retry", "night"], "no cell has failed; there is nothing to retry"),
        (["retry", "night", "--all"], "every picture is stored; there is nothing to retry"),
        (["cancel", "night"], "is done; there is nothing to cancel"),
        (["resume", "night"], "is done; there is nothing to resume"),
    ],
    ids=["retry", "retry --all", "cancel", "resume"],
)
def test_a_batch_that_is_done_is_left_as_it_is(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, command: list[str], words: str
) -> None:
    finished(night, range(CELLS), store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(night.id)
    before = read_control(store, night.id)
    answer, said = gridfarm(*command)
    assert words in said
    assert answer["state"] == "done"
    Controller(night.id, store, ledger).pause()
    assert read_control(store, night.id) == before
    assert not store.exists(object_names.active(night.id))


def test_a_retry_while_the_end_is_written_down_counts(
    night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a worker that writes down the end, when failed cells are asked for in between, then
    the batch is not over."""
    finished(night, range(1, CELLS), store, ledger)
    failed(night, [0], store, ledger)

    def meanwhile(*_: Any) -> None:
        monkeypatch.undo()
        Controller(night.id, store, ledger).retry()

    monkeypatch.setattr(Dispatcher, "_write_cells", meanwhile)
    Dispatcher(store, ledger, [QUEUE]).finish(night.id)
    assert read_control(store, night.id).state == "rendering"
    assert store.exists(object_names.active(night.id))
    assert work_off(night, store, ledger) == Counter([0])


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
