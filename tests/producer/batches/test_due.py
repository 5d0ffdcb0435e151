"""Which pictures should be there, also where the documents that say so are damaged or refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from common.batch import Cell, Matrix
from common.dispatch import Control, bitmap_of, write_control
from common.errors import StoreRefused
from common.store import Store, object_names, open_store
from producer.batches import due_cells, known_due
from producer.farm import Farm
from tests.support.orders import frozen, put_batch
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3
from tests.support.whole_pictures import put_whole

BATCH = frozen(more="settings: {size: 64x64}")
MATRIX = Matrix(BATCH)


def put_done(store: Store) -> None:
    """A batch of four cells that is done: the first three are stored, the last has failed."""
    put_batch(store, BATCH)
    put_whole(store, BATCH, range(3))
    store.put(object_names.done_bitmap(BATCH.id), bitmap_of(range(3), 4))
    store.put(object_names.failure(BATCH.id, 3), b'{"reason": "bad LoRA"}')
    write_control(store, BATCH.id, Control(state="done"))


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    put_done(store)
    return store


def numbers(cells: Iterable[Cell]) -> list[int]:
    return [cell.i for cell in cells]


@pytest.mark.parametrize("document", [b"", b"[]", b'{"state": 3}', b"\xff", b" " * (2 << 20)])
def test_a_damaged_control_document_keeps_nobody_from_the_pictures(
    shelf: Store, document: bytes, tmp_path: Path
) -> None:
    """Then the done bitmap says what should be there."""
    shelf.put(object_names.control(BATCH.id), document)
    shelf.delete(object_names.picture(list(MATRIX)[1].key))
    assert numbers(due_cells(BATCH.id, MATRIX, shelf, None)) == [0, 1, 2]
    report = Farm(store=shelf.url).fetch(BATCH.id, tmp_path / "out")
    assert (len(report.written), len(report.missing)) == (2, 1)
    assert [(flaw.i, flaw.fault) for flaw in report.flaws] == [(1, "missing")]


@pytest.mark.integration
@pytest.mark.usefixtures("impatient_s3")
@pytest.mark.parametrize("refused", ["done.bitmap", "control.json", "failures"])
def test_what_may_not_be_read_makes_nothing_due(
    s3_server: Ministack,
    s3_store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    refused: str,
) -> None:
    """fetch takes what is there; verify does not say that all is well."""
    with TroubledS3(s3_server.port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = open_store(s3_store_url)
        put_done(store)
        if refused == "done.bitmap":
            write_control(store, BATCH.id, Control())
        server.begin("forbidden", only=refused)
        assert numbers(known_due(BATCH.id, MATRIX, store)) == []
        report = Farm(store=s3_store_url).fetch(BATCH.id, tmp_path / "out")
        with pytest.raises(StoreRefused):
            Farm(store=s3_store_url).verify(BATCH.id)
        server.end()
    assert (len(report.written), len(report.missing), report.flaws) == (3, 1, ())
