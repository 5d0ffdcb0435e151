"""The store goes away, is full or hides things: the worker waits, and no cell is to blame."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from common.dispatch import Ledger, WorkerReport, queue_name
from common.errors import (
    BadInput,
    ObjectMissing,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
)
from common.store import Store, object_names
from tests.support.cell_tasks import BATCH, WrappedStore, cell, counts, raising, run
from worker.assets import AssetUnreadable
from worker.process.heartbeat import Heartbeat
from worker.tasks import store_outage

pytestmark = pytest.mark.integration


def test_no_picture_without_its_copies(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar that cannot be written keeps the picture from being stored."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    away, pictures = iter([True, False]), []

    def before(operation: str, name: str) -> None:
        if operation == "probe":
            pictures.append(folder.exists(object_names.picture(cell(0).key)))
        if operation == "put" and name == object_names.sidecar(cell(0).key) and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    run(worker(store=WrappedStore(folder, before)))
    assert pictures == [False]
    assert counts(ledger) == (1, 0)


def test_a_store_that_is_away_pauses_the_worker(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell is handed back without a charge; when the store answers, it is rendered."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    paused: list[str] = []
    away = iter([True, True, False, False])

    def before(operation: str, name: str) -> None:
        if operation == "probe":
            paused.append(task.paused)
        uploads = operation == "put" and name.endswith(".png")
        if (uploads or operation == "probe") and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    task = worker(store=WrappedStore(folder, before))
    run(task)
    assert paused == ["503 Slow Down", "503 Slow Down"]
    assert task.paused == ""
    assert counts(ledger) == (1, 0)
    assert ledger.attempts_of(BATCH.id, 1) == []


def test_a_store_that_takes_probes_but_no_pictures(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is full but for a few bytes: nothing is drawn twice, the pauses grow and add up, and
    are forgotten when the picture is stored."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0.01, 0.02, 0.04))
    full, pauses, said = iter([True] * 4), [], []

    def before(operation: str, name: str) -> None:
        if operation == "put" and name.endswith(".png") and next(full, False):
            heartbeat.beat()
            raise StoreFull("507 XMinioStorageFull")

    task = worker(store=WrappedStore(folder, before))
    heartbeat = Heartbeat(ledger, task, WorkerReport("w1", "m1", (queue_name(),), 1, "cpu", ""))

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        heartbeat.beat()
        said.extend(
            (seen.state, seen.lasts_s >= sum(pauses[:-1])) for seen in ledger.workers.alive()
        )
        return bool(threading.Event().wait(seconds))

    monkeypatch.setattr(task.in_hand.closing, "wait", wait)
    run(task)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (1, (1, 0))
    assert pauses == [0.01, 0.02, 0.04, 0.04]
    assert said == [("paused", True)] * 4
    assert (task.paused, task.outage.lasted_s) == ("", 0.0)


def test_a_failure_that_cannot_be_noted_is_noted_later(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away between the failure and its note: the cell is handed back at once,
    uncharged, and fails with its own reason."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    away = iter([True])

    def before(operation: str, name: str) -> None:
        if operation == "put" and name == object_names.failure(BATCH.id, 0) and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    bad = raising(BadInput("the LoRA 'wrong' fits no layer"))
    task = worker(bad, bad, store=WrappedStore(folder, before))
    run(task)
    assert ledger.failures(BATCH.id) == {0: "the LoRA 'wrong' fits no layer"}


def test_a_full_disk_pauses_and_fails_nothing(
    worker: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    full = OSError(errno.ENOSPC, "No space left on device")
    task = worker(raising(full))
    run(task)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (2, (1, 0))


def test_a_task_of_a_removed_batch_ends(worker: Any, folder: Store, ledger: Ledger) -> None:
    folder.delete(object_names.batch(BATCH.id))
    run(worker())
    assert ledger.status(BATCH.id) is None


def test_a_store_that_hides_a_batch_is_waited_for(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights that were taken away make a document look absent: the batch is not forgotten."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    hidden = iter([True, True, False])

    def before(operation: str, name: str) -> None:
        if operation == "get" and name == object_names.batch(BATCH.id) and next(hidden, False):
            raise ObjectMissing("403, which may mean absent")
        if operation == "probe" and next(hidden, False):
            raise StoreRefused("403")

    run(worker(store=WrappedStore(folder, before)))
    assert counts(ledger) == (1, 0)


def test_a_paused_worker_can_be_ended(worker: Any, folder: Store, ledger: Ledger) -> None:
    """SIGTERM while the store is away: the task returns, the cell is handed back."""

    def before(operation: str, name: str) -> None:
        if operation == "put" and name.endswith(".png"):
            task.in_hand.close()
            raise StoreUnreachable("503 Slow Down")

    task = worker(store=WrappedStore(folder, before))
    run(task)
    assert counts(ledger) == (0, 0)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"


def test_an_asset_that_cannot_be_read_fails_its_cell_alone(
    worker: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store answers and refuses the LoRA: three attempts on two machines, then its cell
    fails with the reason; no worker pauses or takes itself out, and other cells are drawn."""
    quarantined: list[str] = []
    unreadable = AssetUnreadable("403 assets/ab")
    for attempt, (name, machine) in enumerate((("w1", "m1"), ("w2", "m2"), ("w3", "m1"))):
        task = worker(name=name, machine=machine, quarantine=lambda: quarantined.append("yes"))
        monkeypatch.setattr(task.attempt.renderer, "fetch", lambda _: raising(unreadable)())
        run(task)
        assert task.paused == ""
        assert len(ledger.attempts_of(BATCH.id, 0)) == (attempt + 1) % 3
        ledger.redis.zadd(f"gridfarm:batch:{BATCH.id}:again", {"0": 0})
    [reason] = ledger.failures(BATCH.id).values()
    assert reason == "403 assets/ab (after 3 attempts)"
    run(worker(), 1)
    assert (counts(ledger), quarantined) == ((1, 1), [])


def test_an_asset_of_a_store_that_is_away_charges_nobody(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    refused = iter([True, True])

    def before(operation: str, _: str) -> None:
        if operation == "probe" and next(refused, False):
            raise StoreRefused("403 for all")

    task = worker(store=WrappedStore(folder, before))
    fetches = iter([AssetUnreadable("403 for all")])
    monkeypatch.setattr(task.attempt.renderer, "fetch", lambda _: [raising(e)() for e in fetches])
    run(task)
    assert (counts(ledger), ledger.attempts_of(BATCH.id, 0)) == ((1, 0), [])


def test_a_cache_that_cannot_be_written_pauses_its_machine(
    worker: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this machine's trouble: no cell is charged for it."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    task = worker()
    refused = iter([StoreRefused("cannot write /cache: Permission denied")])
    monkeypatch.setattr(task.attempt.renderer, "fetch", lambda _: [raising(e)() for e in refused])
    run(task)
    assert (counts(ledger), ledger.attempts_of(BATCH.id, 0)) == ((1, 0), [])


def test_an_idle_worker_looks_ever_more_rarely_while_the_store_is_away(
    worker: Any, folder: Store
) -> None:
    """And is shown as paused meanwhile; it goes on by itself."""
    away = iter([True] * 6)

    def before(operation: str, name: str) -> None:
        if operation == "get" and name == object_names.STORE_ID and next(away, False):
            raise StoreUnreachable("no route to host")

    outage = worker(store=WrappedStore(folder, before)).outage
    assert [outage.look() for _ in range(6)] == [2, 5, 10, 20, 30, 30]
    assert outage.reason == "no route to host"
    assert outage.look() is None
    assert outage.reason == ""
