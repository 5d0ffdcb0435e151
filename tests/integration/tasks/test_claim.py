"""What becomes of a message: a cell is claimed, rendered, stored and reported once."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from common.dispatch import Ledger
from common.errors import BrokerUnreachable
from common.store import Store, object_names
from tests.support.cell_tasks import BATCH, WrappedStore, cell, counts, raising, run
from tests.support.pictures import as_if_rendered

pytestmark = pytest.mark.integration


def test_a_rendered_cell_is_stored_and_reported(worker: Any, folder: Store, ledger: Ledger) -> None:
    run(worker())
    assert folder.exists(object_names.picture(cell(0).key))
    assert json.loads(folder.get(object_names.sidecar(cell(0).key)))["job"] == cell(0).job.to_json()
    assert folder.exists(object_names.thumbnail(cell(0).key))
    assert counts(ledger) == (1, 0)


def test_the_picture_is_uploaded_last(worker: Any, folder: Store) -> None:
    """A PNG under its key says that its copies are there too."""
    puts: list[str] = []
    store = WrappedStore(folder, lambda op, name: puts.append(name) if op == "put" else None)
    run(worker(store=store))
    images = [name.rpartition(".")[2] for name in puts if name.startswith("images/")]
    assert sorted(images[:2]) == ["json", "webp"]
    assert images[2:] == ["png"]


def test_a_stored_cell_is_not_rendered(worker: Any, folder: Store, ledger: Ledger) -> None:
    folder.put(object_names.picture(cell(0).key), as_if_rendered(cell(0).key))
    task = worker()
    run(task)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (0, (1, 0))


def test_a_redelivered_task_renders_once(worker: Any, ledger: Ledger) -> None:
    task = worker()
    run(task)
    run(task)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (1, (1, 0))


def test_one_job_computes_at_a_time(worker: Any, ledger: Ledger) -> None:
    """Two threads of a process meet at the GPU lock."""
    inside, most = 0, 0
    gate = threading.Barrier(2, timeout=10)
    task = worker()

    def enter() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.05)
        inside -= 1

    task.attempt.renderer.script += [enter, enter]

    def work(i: int) -> None:
        gate.wait()
        run(task, i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, counts(ledger)) == (1, (2, 0))


def test_the_last_cell_ends_the_batch(worker: Any, folder: Store, ledger: Ledger) -> None:
    task = worker()
    run(task, 0)
    run(task, 1)
    assert not folder.exists(object_names.active(BATCH.id))
    seen = ledger.status(BATCH.id)
    assert seen
    assert seen.state == "done"


def test_a_cancelled_cell_stops_at_the_next_step(worker: Any, ledger: Ledger) -> None:
    task = worker()

    def cancel() -> None:
        ledger.control(BATCH.id, generation=1, state="cancelled", priority=1)
        for lease in tuple(task.in_hand.leases._held):
            task.in_hand.leases._renew(lease)

    task.attempt.renderer.script.append(cancel)
    run(task)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (1, (0, 0))
    assert not task.in_hand.leases.held


def test_a_broker_that_goes_away_as_the_batch_is_read_fails_no_cell(
    worker: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell is sent again, and rendered then."""
    task = worker()
    away = iter([BrokerUnreachable("connection reset by peer")])
    monkeypatch.setattr(task.matrices, "on_read", lambda _: [raising(e)() for e in away])
    run(task)
    assert counts(ledger) == (0, 0)
    run(task)
    assert counts(ledger) == (1, 0)
