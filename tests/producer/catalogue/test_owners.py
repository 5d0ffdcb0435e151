"""Whose a picture is, by few reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from common.batch import Matrix
from common.store import Store, object_names, open_store
from producer.catalogue import KeyIndex, UnknownKeys, keys_of, keys_of_others
from tests.support.orders import frozen, put_batch


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def keys(seeds: str) -> set[str]:
    return set(keys_of("night", frozen(seeds=seeds)))


def test_what_any_other_batch_has_is_shared(store: Store) -> None:
    put_batch(store, frozen("a", seeds="2..5"))
    put_batch(store, frozen("b", seeds="3..9"), state="cancelled")
    assert keys_of_others(keys("0..3"), store) == keys("2..3")
    assert keys_of_others(keys("0..3"), store) == keys("2..3")


def test_batches_that_go_themselves_do_not_count(shelf: Store) -> None:
    other = put_batch(shelf, frozen("a"))
    assert keys_of_others(keys("0..3"), shelf, besides=[other]) == set()


def test_a_batch_that_no_listing_shows_yet_counts(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = put_batch(shelf, frozen("a"))
    monkeypatch.setattr(shelf, "folders", lambda _: iter(()))
    assert keys_of_others(keys("0..3"), shelf) == set()
    assert keys_of_others(keys("0..3"), shelf, also=[other, "gone-1"]) == keys("0..3")


def test_only_those_are_read_that_may_share(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the index has them; a batch that came without entering itself is read and entered."""
    read: Counter[str] = Counter()
    get = shelf.get

    def counted(name: str, **options: int) -> bytes:
        read[name] += 1
        return get(name, **options)

    for number in range(10):
        put_batch(shelf, frozen(f"b{number}", seeds=f"{10 * number}..{10 * number + 5}"))
    monkeypatch.setattr(shelf, "get", counted)
    assert len(keys_of_others(keys("0..3"), shelf)) == 4
    assert sum(name.endswith("/batch.json") for name in read) == 10
    late = put_batch(shelf, frozen("late", seeds="1000..1001"))
    for more in (1, 0):
        read.clear()
        assert len(keys_of_others(keys("0..3"), shelf)) == 4
        assert sum(name.endswith("/batch.json") for name in read) == 1 + more
        assert (object_names.batch(late) in read) == bool(more)


def test_an_index_that_lies_costs_no_picture_that_is_shared(shelf: Store) -> None:
    """An entry without the document it speaks of counts for nothing."""
    put_batch(shelf, frozen("a"))
    KeyIndex(shelf).update({"gone-1": keys("0..3")})
    assert keys_of_others(keys("0..3"), shelf) == keys("0..3")


@pytest.mark.parametrize("document", [b"{", b'{"schema_number": 99}', b""])
def test_a_document_that_cannot_be_read_says_so(shelf: Store, document: bytes) -> None:
    """And does not keep the others from being entered."""
    put_batch(shelf, frozen("a"))
    shelf.put(object_names.batch("newer-12345678"), document)
    with pytest.raises(UnknownKeys, match="newer-12345678"):
        keys_of_others(keys("0..3"), shelf)
    assert len(KeyIndex(shelf).read()) == 1


def test_a_large_batch_says_so() -> None:
    large = frozen(seeds="0..10000")
    with pytest.raises(UnknownKeys, match="10,001 cells"):
        keys_of("large", large)
    with pytest.raises(UnknownKeys, match="cannot be read"):
        keys_of("lost", None)
    assert set(keys_of("small", frozen())) == {cell.key for cell in Matrix(frozen())}
