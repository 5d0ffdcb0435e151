"""Every picture that should be stored is read, or only looked for, on both kinds of store."""

from __future__ import annotations

from importlib import import_module

import pytest

from common.batch import Cell, Matrix
from common.store import Store, object_names, open_store
from producer.pictures import read_flaws, verify_pictures
from tests.support.orders import frozen, put_batch
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3
from tests.support.whole_pictures import cell_of, damage, put_whole

BATCH = frozen(seeds="0..5", more="settings: {size: 64x64}")


@pytest.fixture
def cells(store: Store) -> list[Cell]:
    """Those of a batch of six, of which 4 is damaged and 5 not there."""
    put_batch(store, BATCH)
    put_whole(store, BATCH, range(5))
    damage(store, BATCH, 4)
    return list(Matrix(BATCH))


def test_each_picture_is_counted_once(store: Store, cells: list[Cell]) -> None:
    seen: list[tuple[str, int, int]] = []
    report = verify_pictures(BATCH.id, cells, 6, store, progress=lambda *now: seen.append(now))
    assert (report.due, report.stored, report.whole) == (6, 5, 4)
    assert (report.missing, report.damaged, report.unreadable) == (1, 1, 0)
    assert [(flaw.i, flaw.fault) for flaw in report.flaws] == [(4, "damaged"), (5, "missing")]
    assert report.noted
    assert [flaw["labels"]["seed"] for flaw in report.to_json()["flaws"]] == ["4", "5"]
    assert seen == [("reading pictures", n, 6) for n in range(1, 7)]
    assert read_flaws(store, BATCH.id, 6).keys() == {4, 5}


def test_a_quick_look_finds_what_is_missing(store: Store, cells: list[Cell]) -> None:
    report = verify_pictures(BATCH.id, cells, 6, store, quick=True)
    assert (report.stored, report.missing) == (5, 1)
    assert (report.whole, report.damaged, report.unreadable) == (None, None, 0)
    assert [flaw.i for flaw in report.flaws] == [5]


def test_a_quick_look_takes_nothing_else_for_a_picture(store: Store) -> None:
    """What lies under its name has to begin as its PNG does."""
    put_batch(store, BATCH)
    put_whole(store, BATCH, range(6))
    cell = Matrix(BATCH)[3]
    assert cell
    store.put(object_names.picture(cell.key), b"<html>It works!</html>")
    report = verify_pictures(BATCH.id, Matrix(BATCH), 6, store, quick=True)
    assert [flaw.i for flaw in report.flaws] == [3]


def test_all_whole_leaves_no_note(store: Store) -> None:
    put_batch(store, BATCH)
    put_whole(store, BATCH, range(6))
    store.put(object_names.flaw(BATCH.id, 2), b'{"reason": "was mended since"}')
    report = verify_pictures(BATCH.id, Matrix(BATCH), 6, store)
    assert (report.whole, report.flaws) == (6, ())
    assert read_flaws(store, BATCH.id, 6) == {}


def test_many_flaws_are_counted_and_some_listed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifying = import_module("producer.pictures.verify")
    monkeypatch.setattr(verifying, "MOST_FLAWS", 2)
    monkeypatch.setattr(verifying, "AT_ONCE", 4)
    put_batch(store, BATCH)
    report = verify_pictures(BATCH.id, [cell_of(BATCH, i) for i in range(6)], 6, store)
    assert (report.missing, len(report.flaws)) == (6, 2)
    assert read_flaws(store, BATCH.id, 6).keys() == {*range(6)}


@pytest.mark.integration
@pytest.mark.usefixtures("impatient_s3")
def test_who_may_not_write_is_told_that_nothing_is_noted(
    s3_server: Ministack, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; what is found is found all the same."""
    with TroubledS3(s3_server.port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = open_store(s3_store_url)
        put_batch(store, BATCH)
        put_whole(store, BATCH, [0])
        server.begin("read-only")
        said: list[str] = []
        report = verify_pictures(BATCH.id, Matrix(BATCH), 6, store, said.append)
        server.end()
    assert (report.whole, report.missing, report.noted) == (1, 5, False)
    [text] = said
    assert "AccessDenied" in text and f"gridfarm verify {BATCH.id}" in text
