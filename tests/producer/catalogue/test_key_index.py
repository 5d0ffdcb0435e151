"""The index of keys: a help that may be damaged, outdated or lost, and never wrong for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import StoreFull
from common.job import RENDERER_EPOCH
from common.store import Store, object_names, open_store
from producer.catalogue import KeyIndex
from producer.catalogue.key_index import VERSION, prefixes

KEYS = {"a-1": ["aa" * 32, "ab" * 32], "b-2": ["cd" * 32]}


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_what_is_entered_is_read_by_the_next(store: Store) -> None:
    KeyIndex(store).update(KEYS)
    found = KeyIndex(store).read()
    assert found == {batch_id: prefixes(keys) for batch_id, keys in KEYS.items()}
    assert found["a-1"] & prefixes(["aa" * 32])
    assert not found["a-1"] & prefixes(["cd" * 32])


def test_who_leaves_leaves_nothing(store: Store) -> None:
    KeyIndex(store).update(KEYS)
    KeyIndex(store).update({}, gone=["a-1"])
    assert list(KeyIndex(store).read()) == ["b-2"]
    KeyIndex(store).update({}, gone=["b-2", "never-there"])
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    "part",
    [b"", b"{", b"[]", b"7", b'{"a-1": 7}', b'{"a-1": "AAA"}', b'{"a-1": "AAAA"}', b"[" * 99_999,
     b"\xff\xfe"],
)  # fmt: skip
def test_a_damaged_part_is_as_if_it_were_not_there(shelf: Store, part: bytes) -> None:
    KeyIndex(shelf).update(KEYS)
    for name in [*shelf.list(object_names.index(VERSION))]:
        shelf.put(name, part)
    assert KeyIndex(shelf).read() == {}
    KeyIndex(shelf).update(KEYS)
    assert len(KeyIndex(shelf).read()) == 2


def test_a_store_that_takes_nothing_is_no_fault(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object, **__: object) -> None:
        raise StoreFull("full")

    monkeypatch.setattr(shelf, "put", put)
    KeyIndex(shelf).update(KEYS)
    assert KeyIndex(shelf).read() == {}


def test_another_epoch_has_an_index_of_its_own(shelf: Store) -> None:
    """Its keys are others, for the same documents."""
    shelf.put(object_names.index_part("keys-1.0", 0), json.dumps({"a-1": "AAAAAA=="}).encode())
    assert str(RENDERER_EPOCH) in VERSION
    assert KeyIndex(shelf).read() == {}
