"""The order of a store's batches: one listing, whatever a submit or a removal left unfinished."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.dispatch import Control, write_control
from common.errors import StoreRefused
from common.store import Store, object_names, open_store
from producer.catalogue import forget_latest, latest_first, note_latest
from tests.support.orders import frozen, put_batch


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def old(store: Store, name: str, submitted: float) -> str:
    """A batch as versions before left it, without a name in `latest/`."""
    return put_batch(store, frozen(name), submitted=submitted)


def test_a_store_from_before_is_looked_through_once(store: Store) -> None:
    """The order comes from the control documents, and afterwards from the names alone."""
    first, second = old(store, "a", 10.5), old(store, "b", 20.25)
    assert list(latest_first(store).items()) == [(second, 20.25), (first, 10.5)]
    for batch_id in (first, second):
        store.delete(object_names.control(batch_id))
    assert list(latest_first(store)) == [second, first]


def test_the_newest_name_of_a_batch_counts(shelf: Store) -> None:
    """A submit was cut off between two of them."""
    first, second = old(shelf, "a", 10), old(shelf, "b", 20)
    latest_first(shelf)
    note_latest(shelf, first, 30)
    assert list(latest_first(shelf)) == [first, second]
    assert object_names.latest(first, 10) not in shelf.list("latest/")
    note_latest(shelf, first, 10)
    forget_latest(shelf, first, 30)
    assert list(latest_first(shelf)) == [second, first]


def test_names_of_removed_batches_are_stale_and_go(shelf: Store) -> None:
    batch = old(shelf, "a", 10)
    note_latest(shelf, "gone-12345678", 99)
    shelf.put("latest/nonsense", b"")
    assert list(latest_first(shelf)) == [batch]
    assert object_names.latest("gone-12345678", 99) not in shelf.list("latest/")


def test_of_some_batches_only_those_are_looked_at(shelf: Store) -> None:
    first, _ = old(shelf, "a", 10), old(shelf, "b", 20)
    assert list(latest_first(shelf, [first])) == [first]
    assert [*shelf.list("latest/")] == [object_names.latest(first, 10)]


@pytest.mark.parametrize("control", [b"{", b'{"submitted": "x"}', b""])
def test_a_damaged_control_document_hides_nobody(shelf: Store, control: bytes) -> None:
    fine, damaged = old(shelf, "a", 10), old(shelf, "b", 20)
    shelf.put(object_names.control(damaged), control)
    assert latest_first(shelf) == {fine: 10, damaged: 0}


def test_who_may_only_read_gets_the_order_too(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is refused once, not once for each batch."""
    refused: list[str] = []

    def put(name: str, *_: object, **__: object) -> None:
        refused.append(name)
        raise StoreRefused("read-only")

    for number in range(4):
        old(shelf, f"b{number}", number + 1)
    monkeypatch.setattr(shelf, "put", put)
    assert list(latest_first(shelf).values()) == [4, 3, 2, 1]
    assert len(refused) == 1


def test_a_name_keeps_the_millisecond() -> None:
    names = [object_names.latest("a-1", at) for at in (2_000.002, 2_000.001, 1_999.0, 0.0)]
    assert names == sorted(names)
    assert [object_names.latest_parts(name) for name in names] == [
        ("a-1", 2_000.002), ("a-1", 2_000.001), ("a-1", 1_999.0), ("a-1", 0.0),
    ]  # fmt: skip


def test_what_the_control_document_says_is_noted_as_it_says(shelf: Store) -> None:
    batch = old(shelf, "a", 10)
    write_control(shelf, batch, Control(state="done", submitted=1_234.5678))
    assert latest_first(shelf)[batch] == 1_234.5678
    assert latest_first(shelf)[batch] == pytest.approx(1_234.5678, abs=0.001)
