"""The note of a removal: what is in it, and what of a stranger's is read as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import Matrix
from common.errors import StoreFull
from common.store import Store, object_names, open_store
from producer.removal import Announcements, read_intents, write_intent
from tests.support.orders import frozen

NOBODY = Announcements(None)


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_a_note_says_what_goes_until_it_is_withdrawn(store: Store) -> None:
    """Of a batch whose pictures stay it says only that."""
    batches = {"night-1": frozen(), "kept-2": None}
    intent, beat = write_intent(batches, store, NOBODY)
    [found] = read_intents(store, NOBODY)
    assert (found.token, found.batches) == (intent.token, batches)
    assert found.keys == {cell.key for cell in Matrix(frozen())}
    assert found.exists()
    intent.withdraw(beat, NOBODY)
    assert not found.exists()
    assert list(store.list("")) == []


def test_whoever_sees_it_end_sees_it_alive(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many notes take their time: all but the last go while it still has its beat."""
    intent, beat = write_intent(dict.fromkeys(("a-1", "b-2", "c-3")), shelf, NOBODY)
    delete, alive = shelf.delete, []

    def noting(name: str) -> None:
        alive.append(shelf.exists(beat.name))
        delete(name)

    monkeypatch.setattr(shelf, "delete", noting)
    intent.withdraw(beat, NOBODY)
    assert alive == [True, True, True, False]
    assert list(shelf.list("")) == []


def test_a_large_batch_threatens_no_picture(shelf: Store) -> None:
    write_intent({"large-1": frozen(seeds="0..10000")}, shelf, NOBODY)
    assert read_intents(shelf, NOBODY)[0].keys == set()


@pytest.mark.parametrize("after", range(3))
def test_a_store_that_gets_full_keeps_nothing_of_it(
    shelf: Store, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, count = shelf.put, 0

    def filling(name: str, data: bytes, *, content_type: str = "") -> None:
        nonlocal count
        count += 1
        if count > after:
            raise StoreFull("full")
        put(name, data, content_type=content_type)

    monkeypatch.setattr(shelf, "put", filling)
    with pytest.raises(StoreFull):
        write_intent({"a-1": frozen(), "b-2": frozen()}, shelf, NOBODY)
    assert list(shelf.list("")) == []


@pytest.mark.parametrize(
    "name", ["removing/x", "removing/zz.a-1.json", "removing/ab.A_1.json", "removing/ab.beat"]
)
def test_what_is_no_note_is_none(shelf: Store, name: str) -> None:
    shelf.put(name, frozen().to_bytes())
    assert read_intents(shelf, NOBODY) == []


def test_a_damaged_document_threatens_no_picture(shelf: Store) -> None:
    shelf.put(object_names.removing("ab", "a-1"), b'{"schema_number": 99}')
    [found] = read_intents(shelf, NOBODY)
    assert (found.batches, found.keys) == ({"a-1": None}, set())
