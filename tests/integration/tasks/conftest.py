"""A batch of two cells in a folder store, and workers of it with scripts for what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.dispatch import Ledger, WorkerReport, queue_name
from common.store import Store, open_store
from producer.submission import Resolved, submit
from tests.support.cell_tasks import BATCH, ScriptedRenderer, cell_task
from worker.tasks import CellTask


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def submitted(folder: Store, ledger: Ledger) -> None:
    submit(Resolved(BATCH), folder, ledger)


@pytest.fixture
def worker(folder: Store, ledger: Ledger) -> Iterator[Callable[..., CellTask]]:
    made: list[CellTask] = []

    def make(*script: Callable[[], None], name: str = "w1", machine: str = "m1",
             store: Any = None, alive: bool = True,
             quarantine: Callable[[], None] = lambda: None) -> CellTask:  # fmt: skip
        if alive:
            ledger.workers.heartbeat(
                WorkerReport(name, machine, (queue_name(),), 1, "cpu", ""), ttl_ms=60_000
            )
        restarts = threading.Event()
        task = cell_task(
            store or folder, ledger, ScriptedRenderer(list(script)),
            name=name, machine=machine, restart=restarts.set, quarantine=quarantine,
        )  # fmt: skip
        task.restarts = restarts  # type: ignore[attr-defined]
        made.append(task)
        return task

    yield make
    for task in made:
        task.in_hand.close()
