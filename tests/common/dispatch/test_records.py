"""A batch's documents in the store: read back as they were written, damaged ones said to be so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from common.dispatch import (
    Control,
    cell_of_failure,
    new_control,
    read_batch,
    read_control,
    read_done,
    read_failures,
    write_control,
)
from common.dispatch.records import LONGEST_REASON
from common.errors import GridfarmError, ObjectMissing
from common.store import Store, object_names, open_store

ID = "night-12345678"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_a_control_document_is_read_back(store: Store) -> None:
    control = Control("paused", generation=3, priority=2, submitted=1_700_000_000.5, retried=2)
    write_control(store, ID, control)
    assert read_control(store, ID) == control


def test_no_control_document_is_the_default(store: Store) -> None:
    assert read_control(store, ID) == Control()


def test_what_a_later_version_adds_to_it_is_left_out(store: Store) -> None:
    store.put(object_names.control(ID), b'{"generation": 4, "mood": "good"}')
    assert read_control(store, ID) == Control(generation=4)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"state": "melting"}',
        '{"generation": -1}',
        '{"generation": 1.5}',
        '{"priority": true}',
        '{"retried": 9007199254740992}',
        '{"submitted": NaN}',
        '{"submitted": "now"}',
        '{"submitted": 253402300800}',
    ],
    ids=lambda text: text[:25],
)
def test_a_damaged_control_document_says_so(store: Store, document: str) -> None:
    store.put(object_names.control(ID), document.encode())
    with pytest.raises(GridfarmError, match=r"control\.json is damaged"):
        read_control(store, ID)


def test_a_batch_is_submitted_now() -> None:
    assert abs(new_control().submitted - time.time()) < 60


def test_a_batch_that_is_not_there_is_missing(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        read_batch(store, ID)


def test_reasons_are_read_by_cell(store: Store) -> None:
    """Those of cells that the batch does not have, and files of other names, are nobody's."""
    reasons = {0: "bad LoRA", 7: "x" * 10_000, 12: "beyond the end"}
    for i, reason in reasons.items():
        store.put(object_names.failure(ID, i), json.dumps({"reason": reason}).encode())
    store.put(f"{object_names.failures(ID)}notes.txt", b"mine")
    store.put(object_names.failure(ID, 3), b"{")
    assert read_failures(store, ID, 12) == {
        0: "bad LoRA",
        3: "its note in failures/ is damaged",
        7: "x" * LONGEST_REASON,
    }


def test_a_batch_without_failures_has_none(store: Store) -> None:
    assert read_failures(store, ID) == {}


def test_a_note_that_a_retry_takes_away_meanwhile_is_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(object_names.failure(ID, 1), b'{"reason": "bad"}')

    def gone(name: str, **_: object) -> bytes:
        raise ObjectMissing(name)

    monkeypatch.setattr(store, "get", gone)
    assert read_failures(store, ID) == {}


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("batches/b/failures/7.json", 7),
        ("batches/b/failures/0012.json", 12),
        ("batches/b/failures/x.json", None),
        ("batches/b/failures/٣.json", None),
        ("batches/b/failures/7.json.bak", None),
        ("batches/b/failures/12345678901.json", None),
    ],
)
def test_a_notes_name_says_which_cell(name: str, cell: int | None) -> None:
    assert cell_of_failure(name) == cell


def test_done_bits_beyond_the_batch_are_nobodys(store: Store) -> None:
    assert read_done(store, ID, 12) == b""
    store.put(object_names.done_bitmap(ID), b"\xff\xff\xff")
    assert read_done(store, ID, 12) == b"\xff\xf0"
    assert read_done(store, ID, 24) == b"\xff\xff\xff"
    assert read_done(store, ID, 100) == b"\xff\xff\xff"
