"""Following a batch while things go wrong, on a real broker and a folder store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch
from common.dispatch import Dispatcher, FarmStore, Ledger, WorkerReport, queue_name
from common.errors import StoreError, StoreForeign, StoreUnreachable
from common.job import BUILTIN_MODELS
from common.store import open_store
from producer.batches import Controller, StatusWatcher, status
from producer.batches.status import PAUSED_FOR_S
from producer.cli.main import run
from producer.cli.progress_display import describe
from producer.language.settings import DEFAULTS
from producer.submission import Resolved, submit

pytestmark = pytest.mark.integration

BATCH = Batch(
    name="watched",
    settings=DEFAULTS | {"model": "tiny", "prompt": "a wolf"},
    axes=(),
    models=dict(BUILTIN_MODELS),
)


@pytest.fixture
def watcher(tmp_path: Path, broker: str) -> StatusWatcher:
    store, ledger = open_store(str(tmp_path / "store")), Ledger(broker)
    submit(Resolved(BATCH), store, ledger)
    return StatusWatcher(BATCH.id, BATCH, store, ledger)


def say(watcher: StatusWatcher, state: str, *, lasts_s: float = 0.0) -> None:
    assert watcher.ledger
    report = WorkerReport("w1", "m1", (queue_name(),), 3, "cpu", state, "503 Slow Down", lasts_s)
    watcher.ledger.workers.heartbeat(report, ttl_ms=60_000)


def test_a_store_that_is_away_does_not_end_the_watching(
    watcher: StatusWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise StoreUnreachable("503 Slow Down")

    monkeypatch.setattr(type(watcher.store), "list", away)
    say(watcher, "paused")
    now = next(watcher.follow())
    assert (now.state, now.listening[0].message) == ("queued", "503 Slow Down")


def test_it_ends_when_the_farm_moves_to_another_store(
    watcher: StatusWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the ledger says from then on is of another store's batches."""
    monkeypatch.setattr(status, "TICK_EVERY_S", 0.0)
    statuses = watcher.follow()
    assert next(statuses).state == "queued"
    assert watcher.ledger
    FarmStore(open_store(str(tmp_path / "other")), watcher.ledger).adopt(forget_other=True)
    Dispatcher(watcher.store, watcher.ledger, []).rebuild.doubt()
    with pytest.raises(StoreForeign, match="is not the store of the farm"):
        next(statuses)


def test_it_ends_with_3_when_every_worker_has_been_paused_for_five_minutes(
    watcher: StatusWatcher,
) -> None:
    say(watcher, "paused", lasts_s=PAUSED_FOR_S + 1)
    statuses = watcher.follow()
    next(statuses)
    with pytest.raises(StoreError, match="503 Slow Down") as ended:
        next(statuses)
    assert ended.value.exit_code == 3


def test_a_worker_that_renders_keeps_it_going(watcher: StatusWatcher) -> None:
    say(watcher, "rendering", lasts_s=PAUSED_FOR_S + 1)
    statuses = watcher.follow()
    assert [next(statuses).workers, next(statuses).workers] == [1, 1]


def test_a_paused_batch_is_watched_on_and_a_cancelled_one_is_over(
    watcher: StatusWatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paused, the line says how it goes on; cancelled, the watching ends, with 0."""
    assert watcher.ledger
    controller = Controller(BATCH.id, watcher.store, watcher.ledger)
    commands = iter([controller.pause, controller.resume, controller.cancel])
    states = []
    for now in watcher.follow():
        states.append((now.state, now.over))
        if now.state == "paused":
            assert describe(now).endswith(f"gridfarm resume {BATCH.id}")
        if not now.over:
            next(commands)()
    assert states == [
        ("queued", False),
        ("paused", False),
        ("queued", False),
        ("cancelled", True),
    ]
    where = ["--store", watcher.store.url, "--broker", watcher.ledger.broker.url]
    assert run(["watch", BATCH.id, *where]) == 0
    assert f"gridfarm resume {BATCH.id}" in capsys.readouterr().out
