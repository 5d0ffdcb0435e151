"""A batch is done when its pictures are there: what is looked for before that is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from common.batch import Batch, Matrix
from common.dispatch import Dispatcher, Ledger, ending, read_control, read_failures
from common.errors import StoreForeign, StoreFull
from common.store import Store, object_names, open_store
from tests.support.cell_tasks import WrappedStore
from tests.support.orders import frozen
from tests.support.under_way import QUEUE, finished, key_of, ordered, seen

pytestmark = pytest.mark.integration

CELLS = 12


@pytest.fixture
def night(store: Store, ledger: Ledger) -> Batch:
    """All of its cells are done and have pictures."""
    batch = ordered(frozen(seeds=f"0..{CELLS - 1}"), store, ledger)
    finished(batch, range(CELLS), store, ledger)
    return batch


def lose(batch: Batch, cells: list[int], store: Store) -> None:
    for i in cells:
        store.delete(object_names.picture(key_of(batch, i)))


def end(batch: Batch, store: Any, ledger: Ledger) -> None:
    Dispatcher(store, ledger, [QUEUE]).finish(batch.id)


def test_a_batch_whose_pictures_are_there_is_done(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    end(night, store, ledger)
    assert (read_control(store, night.id).state, ledger.active()) == ("done", [])


def test_what_is_missing_is_rendered_again(night: Batch, store: Store, ledger: Ledger) -> None:
    lose(night, [3, 7], store)
    end(night, store, ledger)
    assert (seen(night, ledger).done, seen(night, ledger).state) == (CELLS - 2, "rendering")
    assert store.exists(object_names.active(night.id))
    assert ledger.redis.zcard(f"gridfarm:batch:{night.id}:again") == 2
    finished(night, range(CELLS), store, ledger)
    end(night, store, ledger)
    assert (read_control(store, night.id).state, ledger.active()) == ("done", [])


def test_another_picture_under_its_name_is_missing_too(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    store.put(object_names.picture(key_of(night, 3)), b"<html>It works!</html>")
    end(night, store, ledger)
    assert seen(night, ledger).done == CELLS - 1


def test_a_picture_that_always_vanishes_fails_its_cell(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    """Nobody renders for ever what something deletes: the third time it fails, and why is in the
    store too."""
    for done in (CELLS - 1, CELLS - 1, CELLS - 1):
        lose(night, [3], store)
        end(night, store, ledger)
        assert seen(night, ledger).done == done
        if not seen(night, ledger).failed:
            ledger.done(night.id, 3, key_of(night, 3))
    assert seen(night, ledger).failed == 1
    end(night, store, ledger)
    assert "does something delete" in read_failures(store, night.id)[3]
    assert read_control(store, night.id).state == "done"


def test_why_a_cell_failed_so_is_noted_although_the_first_note_found_no_room(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    full = iter([True])

    def before(operation: str, name: str) -> None:
        if operation == "put" and "/failures/" in name and next(full, False):
            raise StoreFull("507")

    for _ in range(ending.MOST_LOSSES):
        ledger.lost(night.id, [3], most=ending.MOST_LOSSES, reason=ending.VANISHED)
        if not seen(night, ledger).failed:
            ledger.done(night.id, 3, key_of(night, 3))
    end(night, WrappedStore(store, before), ledger)
    assert ledger.active() == [night.id]
    ledger.broker.not_any_more(f"finish:{night.id}")
    end(night, store, ledger)
    assert read_failures(store, night.id) == {3: ending.VANISHED}
    assert ledger.active() == []


def test_a_retry_forgets_what_vanished_before(night: Batch, ledger: Ledger) -> None:
    for _ in range(ending.MOST_LOSSES - 1):
        ledger.lost(night.id, [3], most=ending.MOST_LOSSES, reason="x")
        ledger.done(night.id, 3, key_of(night, 3))
    ledger.retry(night.id, generation=1, priority=1)
    assert ledger.lost(night.id, [3], most=ending.MOST_LOSSES, reason="x") == []


def test_done_bits_that_are_copied_late_are_copied_once_more(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    """Given a slow writer whose older bits land after the end."""
    [(_, changes)] = due_now(ledger).items()
    end(night, store, ledger)
    whole = store.get(object_names.done_bitmap(night.id))
    store.put(object_names.done_bitmap(night.id), b"\x80")
    ledger.saved(night.id, changes - 1)
    due_now(ledger)
    ledger.redis.zadd("gridfarm:unsaved", {night.id: 0})
    ledger.redis.delete("gridfarm:once:write-down")
    Dispatcher(store, ledger, [QUEUE]).tick()
    assert store.get(object_names.done_bitmap(night.id)) == whole


def due_now(ledger: Ledger) -> dict[str, int]:
    for name in ledger.redis.zrange("gridfarm:unsaved", 0, -1):  # type: ignore[union-attr]
        ledger.redis.zadd("gridfarm:unsaved", {name: 0})
    return ledger.unsaved()


def test_an_end_that_cannot_be_written_down_does_not_look_for_all_again(
    night: Batch, store: Store, ledger: Ledger
) -> None:
    looked_for: list[str] = []

    def before(operation: str, name: str) -> None:
        looked_for.extend([name] * (operation == "get_start"))
        if operation == "put" and name.endswith("cells.jsonl"):
            raise StoreFull("507")

    dispatcher = Dispatcher(cast("Store", WrappedStore(store, before)), ledger, [QUEUE])
    for _ in range(3):
        ledger.broker.not_any_more(f"finish:{night.id}")
        dispatcher.finish(night.id)
    assert len(looked_for) == CELLS


def test_of_a_large_batch_some_are_looked_for(
    night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as none of these is missing; then all are."""
    monkeypatch.setattr(ending, "LOOK_FOR_ALL_UP_TO", 5)
    monkeypatch.setattr(ending, "SAMPLE", 4)
    looked_for: list[str] = []
    watched = WrappedStore(
        store, lambda op, name: looked_for.append(name) if op == "get_start" else None
    )
    end(night, watched, ledger)
    assert len(looked_for) == 4
    assert read_control(store, night.id).state == "done"


def test_of_a_large_batch_all_are_looked_for_once_one_is_missing(
    night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LOOK_FOR_ALL_UP_TO", 5)
    lose(night, [0, 3, 11], store)
    end(night, store, ledger)
    assert seen(night, ledger).done == CELLS - 3


def test_what_is_missing_elsewhere_says_nothing(
    night: Batch, ledger: Ledger, tmp_path: Path
) -> None:
    """Given a worker with another store, the batch stays as it is."""
    with pytest.raises(StoreForeign):
        end(night, open_store(str(tmp_path / "elsewhere")), ledger)
    assert seen(night, ledger).done == CELLS


def test_a_cell_that_is_lost_twice_at_once_counts_once(night: Batch, ledger: Ledger) -> None:
    assert ledger.lost(night.id, [3], most=3, reason="x") == []
    assert ledger.lost(night.id, [3], most=3, reason="x") == []
    assert seen(night, ledger).done == CELLS - 1
    assert Matrix(night).jobs == CELLS
