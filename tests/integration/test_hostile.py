"""What a stranger puts onto the queue or beside the batches neither ends nor holds up a worker."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.broker import Broker
from common.dispatch import Ledger, queue_name, read_failures
from common.errors import BrokerRefused
from common.store import object_names
from tests.fuzz.hostile import EVIL_HEADERS, message
from tests.support.pool import Pool

pytestmark = pytest.mark.integration


@pytest.fixture
def pool(broker: str, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(broker, tmp_path)
    yield made
    made.end()


class Touched:
    """A pickle that runs code leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def hostile_messages(batch_id: str, trap: Path) -> Iterator[bytes]:
    yield from (b"garbage", b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000, b'{"body": 1}')
    good = message(batch_id, 0, "tag")
    for body in (
        "",
        "[]",
        "[[], {}, {}]",
        json.dumps([["../..", 0, 0], {}, {}]),
        json.dumps([[batch_id, -1, 0], {}, {}]),
        json.dumps([[batch_id, 10**30, 0], {}, {}]),
        json.dumps([[batch_id, "0", 0], {}, {}]),
        json.dumps([[batch_id, True, 0], {}, {}]),
        json.dumps([[batch_id, 0], {}, {}]),
        json.dumps([[batch_id, 0, 0], {}, {"chain": [{"task": "x"}]}]),
        json.dumps([[batch_id, 0, 0], None, {}]),
        json.dumps([[[batch_id], 0, 0], {}, {}]),
    ):
        yield json.dumps(good | {"body": body}).encode()
    for header in EVIL_HEADERS:
        yield json.dumps(good | {"headers": good["headers"] | header}).encode()
    evil = base64.b64encode(pickle.dumps(Touched(trap))).decode()
    as_pickle = {"body": evil, "content-type": "application/x-python-serialize"}
    encoding = good["properties"] | {"body_encoding": "base64"}
    yield json.dumps(good | as_pickle | {"properties": encoding}).encode()


def test_hostile_messages_are_dropped(pool: Pool, tmp_path: Path) -> None:
    """Each with a line; the process lives, runs nothing, keeps nothing back and renders what
    was ordered. One message names a cell that there is not, and one a batch."""
    worker = pool.start("worker", "--steps=1", "--ms-per-step=1")
    pool.listens("worker")
    pool.submit(2)
    pool.eventually(lambda: pool.counts == (2, 0))
    redis, bad = pool.ledger.redis, [*hostile_messages(pool.batch.id, tmp_path / "trap")]
    strange = [message(pool.batch.id, 99, "t1"), message("nobody-00000000", 0, "t2")]
    for data in [*bad, *(json.dumps(one).encode() for one in strange)]:
        redis.lpush(queue_name(), data)
    pool.submit(3)
    pool.eventually(lambda: pool.counts == (3, 0))
    pool.eventually(lambda: not redis.llen(queue_name()) + redis.hlen("gridfarm:unacked_key"))
    assert worker.poll() is None
    assert pool.log("worker").count("was dropped") == len(bad)
    assert "has no cell 99" in pool.log("worker")
    assert "batches/nobody-00000000/batch.json" in pool.log("worker")
    assert "Traceback" not in pool.log("worker")
    assert not (tmp_path / "trap").exists()


def test_documents_of_strangers_hold_up_nobody(pool: Pool) -> None:
    """One that is damaged ends with a reason for each cell. One with 10¹² cells or with settings
    that none writes is marked as active, and never opened. A good one is rendered."""
    pool.submit(3)
    damaged, document = pool.batch, json.loads(pool.batch.to_bytes())
    pool.store.put(object_names.batch(damaged.id), b'{"schema_number": 2, "name": "a\x1b[2J"}')
    axis = {"name": "seed", "first": "0", "last": str(10**12), "step": "1"}
    for batch_id, changes in {"huge-1": {"axes": [axis]}, "bare-1": {"settings": {}}}.items():
        pool.store.put(object_names.batch(batch_id), json.dumps(document | changes).encode())
        pool.store.put(object_names.active(batch_id), b"")
    worker = pool.start("worker", "--steps=1", "--ms-per-step=1")
    pool.eventually(lambda: pool.counts == (0, 3))
    pool.eventually(lambda: not pool.store.exists(object_names.active(damaged.id)))
    reasons = read_failures(pool.store, damaged.id, 3)
    assert len(reasons) == 3
    assert all("is not a batch document" in reason for reason in reasons.values())
    for said in ("huge-1", "more than 1,000,000,000 cells", "bare-1"):
        pool.eventually(lambda said=said: said in pool.log("worker"))
    pool.submit(2)
    pool.eventually(lambda: pool.counts == (2, 0))
    assert worker.poll() is None
    assert "Traceback" not in pool.log("worker") and "\x1b" not in pool.log("worker")


def test_a_report_that_no_worker_makes_is_passed_over(broker: str) -> None:
    ledger = Ledger(broker)
    for name, text in {"a": "garbage", "b": "[]", "c": '{"name": "c"}', "d": "[" * 9999}.items():
        ledger.redis.hset("gridfarm:workers", name, text)
        ledger.redis.zadd("gridfarm:alive", {name: 9e15})
    assert ledger.workers.alive() == []


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("redis://:pa/ss@host:6379/0", "%2F"),
        ("redis://:pa#ss@host:6379/0", "%23"),
        ("redis://user:pa?ss@host:6379/0", "%3F"),
        ("redis://host:6379/0?password=pass", "options are those of TLS"),
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(url: str, hint: str) -> None:
    with pytest.raises(BrokerRefused) as refused:
        Broker(url).ping()
    said = refused.value.message + refused.value.hint
    assert hint in said
    assert "pa/" not in said and "ss@" not in said and "=pass" not in said and "'pa'" not in said
