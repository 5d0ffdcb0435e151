"""What an earlier gridfarm left behind is read: a store and a ledger of 2026-11-24, in the middle
of a batch, with an id of 8 hex digits and messages on the queue.

`written_before/` holds both as they were. A change that cannot read them loses somebody's batch.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from common.batch import Matrix
from common.dispatch import read_batch
from common.store import Store, object_names, open_store
from producer.cli.main import run
from tests.support.pool import Pool

pytestmark = pytest.mark.integration

BEFORE = Path(__file__).with_name("written_before")
BATCH_ID = "written-before-bdf10f0b"
STORED = {0, 4, 5}
CELLS = {0, 2, 3, 4, 5, 6, 7}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(BEFORE / "store", tmp_path / "store")
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def ledger(broker: str) -> str:
    """The broker's URL, with the ledger in it."""
    with redis.Redis.from_url(broker) as client:
        for key, entry in json.loads((BEFORE / "ledger.json").read_text()).items():
            _put(client, key, entry["type"], entry["value"])
    return broker


def _put(client: Any, key: str, kind: str, value: Any) -> None:
    if kind == "string":
        client.set(key, _bytes(value))
    elif kind == "hash":
        client.hset(key, mapping={name: _bytes(held) for name, held in value.items()})
    elif kind == "set":
        client.sadd(key, *map(_bytes, value))
    elif kind == "zset":
        client.zadd(key, dict(value))
    else:
        client.rpush(key, *map(_bytes, value))


def _bytes(value: str | dict[str, str]) -> bytes:
    """Text, or `{"base64": …}` for what is none."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def gridfarm(capsys: pytest.CaptureFixture[str], store: Store, *arguments: str) -> dict[str, Any]:
    code = run([*arguments, "--store", store.url, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    return dict(json.loads(out))


def test_its_cells_have_the_keys_that_they_had(store: Store) -> None:
    matrix = Matrix(read_batch(store, BATCH_ID))
    keys = {cell.i: cell.key for cell in matrix}
    stored = {name.rpartition("/")[2][:64] for name in store.list(object_names.IMAGES)}
    assert keys.keys() == CELLS
    assert {i for i, key in keys.items() if key in stored} == STORED
    assert len(stored) == len(STORED)


def test_it_is_planned_as_stored(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    planned = gridfarm(capsys, store, "plan", str(BEFORE / "batch.yaml"))
    assert (planned["jobs"], planned["stored"]) == (7, 3)


@pytest.mark.parametrize("word", [BATCH_ID, "written-before", str(BEFORE / "batch.yaml")])
def test_it_is_found(store: Store, capsys: pytest.CaptureFixture[str], word: str) -> None:
    status = gridfarm(capsys, store, "status", word)
    assert (status["batch"], status["state"], status["done"]) == (BATCH_ID, "rendering", 3)


def test_its_ledger_says_how_it_stands(
    store: Store, ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = gridfarm(capsys, store, "list", "--broker", ledger)["batches"]
    assert (row["batch"], row["jobs"], row["done"]) == (BATCH_ID, 7, 3)


def test_a_picture_is_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shown = gridfarm(capsys, store, "show", f"{BATCH_ID}#5")
    assert shown["job"]["prompt"] == "a blue square"
    assert shown["fingerprint"]["device"] == "cpu"


@pytest.fixture
def pool(ledger: str, store: Store, tmp_path: Path) -> Iterator[Pool]:
    pool = Pool(ledger, tmp_path, store.url)
    try:
        yield pool
    finally:
        pool.end()


def test_a_worker_finishes_it(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    """The messages that were on the queue are taken, and what is stored is rendered by nobody."""
    pool.batch = read_batch(pool.store, BATCH_ID)
    before = {name: pool.store.get(name) for name in pool.store.list(object_names.IMAGES)}
    pool.start("new", "--steps=2", "--ms-per-step=5")
    pool.eventually(lambda: not pool.store.exists(object_names.active(BATCH_ID)))
    status = gridfarm(capsys, pool.store, "status", BATCH_ID)
    assert (status["state"], status["done"], status["failed"]) == ("done", 7, 0)
    assert {name: pool.store.get(name) for name in before} == before
    assert pool.log("new").count(" rendered in ") == len(CELLS - STORED)
