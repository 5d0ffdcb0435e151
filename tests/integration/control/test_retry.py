"""retry, on a real broker and a folder store: failed cells and lost pictures, and no others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from common.batch import Batch
from common.dispatch import (
    Dispatcher,
    Ledger,
    ending,
    read_control,
    read_failures,
)
from common.store import Store, object_names
from producer.batches import Controller
from tests.support.under_way import CELLS, QUEUE, begun, failed, finished, key_of, work_off


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
        Dispatcher(store, ledger, [QUEUE]).ending.finish(night.id)
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
    Dispatcher(store, ledger, [QUEUE]).ending.finish(night.id)
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
        (["retry", "night"], "no cell has failed and every picture that was stored is there"),
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
    Dispatcher(store, ledger, [QUEUE]).ending.finish(night.id)
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

    monkeypatch.setattr(ending, "write_cells", meanwhile)
    Dispatcher(store, ledger, [QUEUE]).ending.finish(night.id)
    assert read_control(store, night.id).state == "rendering"
    assert store.exists(object_names.active(night.id))
    assert work_off(night, store, ledger) == Counter([0])
