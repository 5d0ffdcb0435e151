"""One object that cannot be read costs its own batch, and nobody else anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.dispatch import Dispatcher, Ledger, queue_name
from common.errors import StoreRefused
from common.store import Store, object_names, open_store
from producer.batches import Controller
from producer.submission import Resolved, submit
from tests.support.cell_tasks import WrappedStore
from tests.support.orders import frozen
from tests.support.pool import Pool, stub_batch
from tests.support.servers import ALL_RIGHTS, Ministack

pytestmark = pytest.mark.integration

QUICK = ("--steps=2", "--ms-per-step=5")


@pytest.fixture
def pool(broker: str, tmp_path: Path, s3_store_url: str) -> Iterator[Pool]:
    made = Pool(broker, tmp_path, s3_store_url)
    yield made
    made.end()


def denied(
    s3_server: Ministack, pool: Pool, *names: str
) -> tuple[dict[str, str], Callable[[], object]]:
    """A user of the bucket who may do everything but read these objects, and what allows it."""
    user = s3_server.user(name := f"denied-{uuid.uuid4().hex}", ALL_RIGHTS)
    prefix = pool.store_url.removeprefix(f"s3://{s3_server.bucket}/")
    resources = [f"arn:aws:s3:::{s3_server.bucket}/{prefix}/{name}" for name in names]
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam = s3_server.client("iam")
    iam.put_user_policy(UserName=name, PolicyName="deny", PolicyDocument=policy)
    return user, lambda: iam.delete_user_policy(UserName=name, PolicyName="deny")


def test_an_unreadable_batch_is_set_aside(pool: Pool, s3_server: Ministack) -> None:
    """Given a batch.json that no worker may read, its reason is seen, another batch is rendered,
    and neither marker nor ledger of it is lost; when it can be read, it is rendered."""
    pool.submit(30, "unreadable")
    unreadable = pool.batch.id
    pool.environment, allow = denied(s3_server, pool, object_names.batch(unreadable))
    pool.submit(30, "other")
    pool.start("w", *QUICK)
    pool.eventually(lambda: pool.counts == (30, 0))
    aside = pool.ledger.status(unreadable)
    assert aside and aside.done == 0
    pool.eventually(lambda: "AccessDenied" in pool.ledger.status(unreadable).aside)  # type: ignore[union-attr]
    assert pool.store.exists(object_names.active(unreadable))
    assert "paused" not in {w.state for w in pool.ledger.workers.alive()}
    allow()
    pool.batch = stub_batch(30, "unreadable")
    pool.eventually(lambda: pool.counts == (30, 0), seconds=60)
    assert pool.right_pictures() == 30
    assert pool.ledger.status(unreadable).aside == ""  # type: ignore[union-attr]


def test_rights_that_are_taken_away_forget_no_batch(pool: Pool, s3_server: Ministack) -> None:
    """Given a 403 for all of batches/: it may mean "not there", and is not believed."""
    pool.submit(30)
    pool.environment, _ = denied(s3_server, pool, "batches/*")
    pool.start("w", *QUICK)
    pool.eventually(lambda: "is set aside" in pool.log("w"))
    assert pool.ledger.known(pool.batch.id)
    assert pool.store.exists(object_names.active(pool.batch.id))


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.mark.parametrize("document", [object_names.control, object_names.batch])
def test_an_unreadable_document_keeps_nobody_from_being_rebuilt(
    folder: Store, ledger: Ledger, document: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a wiped broker and one batch of three that cannot be read, the two others are there
    after the next tick, and so is the third once it can be read."""
    batches = [frozen(name) for name in ("first", "second", "third")]
    for batch in batches:
        submit(Resolved(batch), folder, ledger)
    ids = sorted(batch.id for batch in batches)
    ledger.redis.flushall()

    def before(operation: str, name: str) -> None:
        if operation == "get" and name == document(ids[0]):
            raise StoreRefused("403 InvalidObjectState: it is in cold storage")

    stricken: Any = WrappedStore(folder, before)
    Dispatcher(stricken, ledger, [queue_name()]).tick()
    assert ledger.active() == ids[1:]
    assert f"{ids[0]} waits: 403 InvalidObjectState" in caplog.text
    assert folder.exists(object_names.active(ids[0]))
    ledger.broker.not_any_more("reconcile")
    Dispatcher(folder, ledger, [queue_name()]).tick()
    assert ledger.active() == ids


def test_a_batch_that_is_set_aside_is_looked_at_again_ever_later(
    folder: Store, ledger: Ledger
) -> None:
    """Of the cells that were sent none is left on the queue, and nothing is sent before its
    time; a worker that can read it ends that."""
    batch = frozen()
    submit(Resolved(batch), folder, ledger)
    assert ledger.set_aside(batch.id, "403")
    assert ledger.redis.llen(queue_name()) == 0
    pauses = []
    for _ in range(8):
        until = float(ledger.redis.hget(f"gridfarm:batch:{batch.id}", "aside_until"))  # type: ignore[arg-type]
        pauses.append(until - _now(ledger))
        assert ledger.feed(queue_name(), "task") == 0
        ledger.redis.hset(f"gridfarm:batch:{batch.id}", "aside_until", 0)
        ledger.redis.zadd(f"gridfarm:queue:{queue_name()}:later", {batch.id: 0})
        assert ledger.feed(queue_name(), "task") == 4
        assert ledger.set_aside(batch.id, "403")
    assert [round(pause, -3) for pause in pauses] == [
        5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
    ]  # fmt: skip
    ledger.note_read(batch.id)
    assert ledger.status(batch.id).aside == ""  # type: ignore[union-attr]
    assert ledger.feed(queue_name(), "task") == 4


def test_a_machine_that_alone_cannot_read_it_is_at_fault(folder: Store, ledger: Ledger) -> None:
    batch = frozen()
    submit(Resolved(batch), folder, ledger)
    ledger.note_read(batch.id)
    assert not ledger.set_aside(batch.id, "403")
    assert ledger.status(batch.id).aside == ""  # type: ignore[union-attr]


def test_who_has_read_it_long_ago_blames_nobody(folder: Store, ledger: Ledger) -> None:
    """Cells that are claimed from a document in memory do not say that it can be read."""
    batch = frozen()
    submit(Resolved(batch), folder, ledger)
    assert ledger.claim(batch.id, 0, 0, "key", "w1") == "ok"
    assert ledger.set_aside(batch.id, "403")


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_that_goes_back_sets_nothing_aside_for_hours(
    folder: Store, ledger: Ledger, hours: int
) -> None:
    batch = frozen()
    submit(Resolved(batch), folder, ledger)
    assert ledger.set_aside(batch.id, "403")
    later = int(_now(ledger)) + hours * 3_600_000
    ledger.redis.hset(
        f"gridfarm:batch:{batch.id}", mapping={"aside_until": later, "read_at": later}
    )
    assert ledger.status(batch.id).aside == ""  # type: ignore[union-attr]
    Dispatcher(folder, ledger, [queue_name()]).tick()
    assert ledger.redis.llen(queue_name()) == 4
    assert ledger.set_aside(batch.id, "403")


def test_a_batch_that_is_set_aside_can_be_cancelled(folder: Store, ledger: Ledger) -> None:
    batch = frozen()
    submit(Resolved(batch), folder, ledger)
    ledger.set_aside(batch.id, "403")
    Controller(batch.id, folder, ledger).cancel()
    assert ledger.active() == []


def _now(ledger: Ledger) -> float:
    seconds, micros = ledger.redis.time()  # type: ignore[misc]
    return seconds * 1000 + micros / 1000
