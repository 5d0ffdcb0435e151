"""`list` beside documents that are damaged, not to be read, or not all there yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.dispatch import Ledger
from common.errors import StoreRefused, StoreUnreachable
from common.store import Store, object_names, open_store
from producer.batches import StatusWatcher, list_batches
from producer.catalogue import latest_first
from producer.cli.main import run
from producer.submission import Resolved, submit
from tests.support.orders import frozen, put_batch


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def states(store: Store) -> dict[str, str]:
    return {row.batch.partition("-")[0]: row.state for row in list_batches(store, None)}


@pytest.mark.parametrize("control", [b"{", b'{"state": "lost"}', b"\x00" * 2_000_000])
def test_a_damaged_control_document_is_a_row_that_says_so(
    shelf: Store, control: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    put_batch(shelf, frozen("fine"))
    damaged = put_batch(shelf, frozen("broken"))
    shelf.put(object_names.control(damaged), control)
    assert states(shelf) == {"fine": "done", "broken": "unreadable"}
    assert run(["list", "--store", shelf.url]) == 0
    out, err = capsys.readouterr()
    assert "unreadable" in out
    assert f"{damaged}: " in err
    assert "control.json" in err


def test_a_damaged_document_likewise(shelf: Store) -> None:
    """What is known of the batch beside it is listed all the same."""
    put_batch(shelf, frozen("fine"))
    damaged = put_batch(shelf, frozen("broken"), state="rendering", done=[0])
    shelf.put(object_names.batch(damaged), b"{")
    rows = {row.batch: row for row in list_batches(shelf, None)}
    row = rows[damaged]
    assert (row.state, row.jobs, row.done) == ("unreadable", None, 1)
    assert "batch.json" in rows[damaged].problem


def test_a_damaged_document_of_a_batch_that_is_over(
    shelf: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its row needs no document, so that a long list stays quick; `status` reads it."""
    damaged = put_batch(shelf, frozen("broken"), done=range(4))
    shelf.put(object_names.batch(damaged), b"{")
    assert states(shelf) == {"broken": "done"}
    assert run(["status", damaged, "--store", shelf.url]) != 0
    assert "batch.json" in capsys.readouterr().err


def test_a_document_that_may_not_be_read_hides_no_other(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_batch(shelf, frozen("fine"))
    secret = put_batch(shelf, frozen("secret"))
    get = shelf.get

    def refusing(name: str, **options: int) -> bytes:
        if name == object_names.control(secret):
            raise StoreRefused("no right to read it")
        return get(name, **options)

    monkeypatch.setattr(shelf, "get", refusing)
    assert states(shelf) == {"fine": "done", "secret": "unreadable"}


def test_a_store_that_is_away_is_no_damaged_batch(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_batch(shelf, frozen())
    latest_first(shelf)

    def away(*_: object, **__: object) -> bytes:
        raise StoreUnreachable("away")

    monkeypatch.setattr(shelf, "get", away)
    with pytest.raises(StoreUnreachable):
        list_batches(shelf, None)


@pytest.mark.parametrize("what", [object_names.control, object_names.batch])
def test_a_damaged_batch_can_be_removed(
    shelf: Store, capsys: pytest.CaptureFixture[str], what: Any
) -> None:
    damaged = put_batch(shelf, frozen("broken"), done=range(4))
    shelf.put(what(damaged), b"{")
    assert run(["rm", damaged, "--yes", "--cancel", "--store", shelf.url, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["pictures"] == (4 if what is object_names.control else 0)
    assert list(shelf.folders(object_names.BATCHES)) == []


@pytest.mark.integration
class TestWithABroker:
    @pytest.mark.parametrize("missing", ["done.bitmap", f"active/{frozen().id}"])
    def test_a_submit_that_was_cut_off_is_shown_and_completed(
        self, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        """It has put its document, and perhaps control.json, but not the marker by which workers
        find it: neither `list` nor `status` says that it renders; given again, it does."""
        put = store.put

        def cut_off(name: str, *data: bytes, **options: Any) -> None:
            if name.endswith(missing):
                raise StoreUnreachable("cut off")
            put(name, *data, **options)

        with monkeypatch.context() as patched:
            patched.setattr(store, "put", cut_off)
            with pytest.raises(StoreUnreachable):
                submit(Resolved(frozen()), store, ledger)
        put_batch(store, frozen("older"))
        assert list(states(store).items()) == [("night", "submitting"), ("older", "done")]
        watcher = StatusWatcher(frozen().id, frozen(), store, ledger)
        assert watcher.status().state == "submitting"
        assert submit(Resolved(frozen()), store, ledger).queued == 4
        assert (states(store)["night"], watcher.status().state) == ("rendering", "queued")
        list_batches(store, None)
        assert len([*store.list(object_names.LATEST)]) == 2

    def test_a_damaged_control_document_is_mended_by_a_submit(
        self, store: Store, ledger: Ledger
    ) -> None:
        """As its message says."""
        batch = put_batch(store, frozen(), done=[0])
        store.put(object_names.control(batch), b"{")
        assert submit(Resolved(frozen()), store, ledger).queued == 3
        assert states(store) == {"night": "rendering"}

    def test_a_batch_that_is_submitted_again_is_the_latest(
        self, store: Store, ledger: Ledger
    ) -> None:
        for name in ("night", "day", "night"):
            batch = frozen(name)
            put_batch(store, batch, done=range(4))
            submit(Resolved(batch), store, ledger)
        assert list(states(store)) == ["night", "day"]
