"""Another batch under the id of the one that is ordered is refused before anything changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch
from common.dispatch import Ledger, read_batch
from common.errors import StoreForeign, UsageError
from common.store import Store, object_names, open_store
from producer.submission import Resolved, submit
from producer.submission.stored_document import check_document
from tests.support.orders import frozen, put_batch

BATCH = frozen(seeds="0..3")


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def forge(store: Store, change: Callable[[dict[str, Any]], object]) -> None:
    """Put another document under the batch's id."""
    document = json.loads(BATCH.to_bytes())
    change(document)
    store.put(object_names.batch(BATCH.id), json.dumps(document).encode())


def objects(store: Store) -> dict[str, bytes]:
    return {name: store.get(name) for name in store.list("")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["axes"][1].update(last="7"), 'axes.1.last is "7" there and "3" here'),
        (lambda d: d["settings"].update(steps=9), "settings.steps is 9 there and 50 here"),
        (lambda d: d["settings"].pop("steps"), "settings.steps is nothing there and 50 here"),
        (lambda d: d.update(exclude=[{"seed": ["2"]}]), 'exclude.0.seed.0 is "2" there'),
        (lambda d: d.update(name="Night"), 'name is "Night" there and "night" here'),
        (lambda d: d["settings"].update({f"words.{n}": "x" for n in "abcde"}), "; 2 more"),
    ],
)
@pytest.mark.integration
def test_another_batch_under_the_same_id(
    shelf: Store, broker: str, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    """Given a batch that is done, whose cells the ordered one's would be taken for."""
    put_batch(shelf, BATCH, done=range(4))
    forge(shelf, change)
    before, ledger = objects(shelf), Ledger(broker)
    with pytest.raises(UsageError, match=f"another batch under the id {BATCH.id}") as caught:
        submit(Resolved(BATCH), shelf, ledger)
    assert says in caught.value.message
    assert "another `name:`" in caught.value.hint
    assert objects(shelf) == before
    assert ledger.status(BATCH.id) is None


def written_otherwise(document: dict[str, Any]) -> None:
    """As a version without these fields wrote it, in another order, with numbers as floats."""
    for name in ("exclude", "only", "gpu"):
        del document[name]
    document["settings"]["steps"] = float(document["settings"]["steps"])
    for name in sorted(document, reverse=True):
        document[name] = document.pop(name)


@pytest.mark.parametrize("change", [lambda _: None, written_otherwise])
def test_the_same_batch_however_it_is_written(
    shelf: Store, change: Callable[[dict[str, Any]], object]
) -> None:
    forge(shelf, change)
    before, said = objects(shelf), []
    check_document(BATCH, shelf, said.append)
    assert (said, objects(shelf)) == ([], before)


def test_what_was_stored_before_is_the_same_batch(shelf: Store) -> None:
    """A document of 2026-11-24, as it lies in tests/integration/written_before."""
    tests = Path(__file__).parents[2]
    [path] = (tests / "integration/written_before/store/batches").glob("*/batch.json")
    stored = Batch.from_bytes(path.read_bytes(), source=path.name)
    shelf.put(object_names.batch(stored.id), path.read_bytes())
    said: list[str] = []
    check_document(stored, shelf, said.append)
    assert said == []


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"schema_number": 3}', b"\xff", b"[" * 9999])
@pytest.mark.integration
def test_a_damaged_document_is_said_and_written_anew(
    shelf: Store, broker: str, damage: bytes
) -> None:
    shelf.put(object_names.batch(BATCH.id), damage)
    said: list[str] = []
    submit(Resolved(BATCH), shelf, Ledger(broker), say=said.append)
    assert len(said) == 1 and "is damaged and is written anew" in said[0]
    assert read_batch(shelf, BATCH.id) == BATCH


@pytest.mark.integration
def test_where_another_farm_has_the_broker_a_damaged_document_stays(
    shelf: Store, tmp_path: Path, broker: str
) -> None:
    """A submit that is refused has changed nothing."""
    submit(Resolved(BATCH), open_store(str(tmp_path / "farm")), Ledger(broker))
    shelf.put(object_names.batch(BATCH.id), b"{")
    before = objects(shelf)
    with pytest.raises(StoreForeign):
        submit(Resolved(BATCH), shelf, Ledger(broker))
    assert objects(shelf) == before


def test_a_number_that_no_id_can_be_made_of_is_damage(shelf: Store) -> None:
    forge(shelf, lambda document: document["settings"].update(steps=2**60))
    said: list[str] = []
    check_document(BATCH, shelf, said.append)
    assert len(said) == 1


def test_a_batch_that_is_new(shelf: Store) -> None:
    check_document(BATCH, shelf, pytest.fail)
    assert objects(shelf) == {}
