"""Each key on the broker lost alone in mid-batch, by an operator's DEL or an eviction, and times
there from before the server's clock went back: the batch ends all the same, with every picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from common.batch import Axis, Batch, Matrix, Value
from common.dispatch import Dispatcher, Ledger, is_set, queue_name, read_control, read_done
from common.store import Store, object_names
from producer.batches import Controller
from producer.submission import Resolved, submit
from tests.support.pictures import as_if_rendered
from tests.support.pool import Pool, stub_batch
from tests.support.servers import valkey
from tests.support.under_way import key_of

pytestmark = pytest.mark.integration

QUEUE = queue_name()
HOUR_MS = 3_600_000
#: A batch's own: its hash, and the parts of it.
PARTS = (
    "", ":done", ":failed", ":holes", ":sent", ":off", ":leases", ":holders", ":again", ":charges",
    ":entered", ":suspects", ":losses", ":needs",
)  # fmt: skip
NAMES = (
    "store", "active", "over", "unsaved", "queues", "alive", "workers", "waiting", "wanted",
    f"wanted:{QUEUE}", "sends", "audited", f"queue:{QUEUE}", f"queue:{QUEUE}:*", f"swept:{QUEUE}",
    "submitted", "removing", "key:*", "once:*", "probe", "unacked_key", "unacked_index_key",
    "unacked_mutex_key",
)  # fmt: skip
#: Every kind of key, as a pattern; ID is the batch.
KINDS = (
    *(f"gridfarm:batch:ID{part}" for part in PARTS),
    *(f"gridfarm:{name}" for name in NAMES),
    QUEUE,
    "_kombu.binding.*",
)
#: Without these a ledger's counts are not to be believed.
REBUILT = ("gridfarm:batch:ID", "gridfarm:batch:ID:done", "gridfarm:batch:ID:holes")
THREADS = 3
#: A worker for which what is due every few seconds is due at once.
SOONER = """
import common.dispatch.ending, common.dispatch.ledger, common.dispatch.rebuild
import worker.process.heartbeat
common.dispatch.ending.FINISH_EVERY_MS = 300
common.dispatch.ledger.LOST_AFTER_MS, common.dispatch.ledger.SWEEP_EVERY_MS = 1_000, 300
common.dispatch.rebuild.RECONCILE_EVERY_MS = 300
worker.process.heartbeat.PERIOD_S = 0.2
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One for all, with one worker at work."""
    folder = tmp_path_factory.mktemp("lost")
    with valkey(folder / "broker") as server:
        made = Pool(server.url, folder)
        made.start("w", "--steps=1", "--ms-per-step=20", first=SOONER)
        made.listens("w")
        yield made
        made.end()


def twins(name: str, seeds: int = 30) -> Batch:
    """Twice as many cells as pictures: every second cell is a hole."""
    values = (Value(label="one", settings={}), Value(label="same", settings={"steps": 2}))
    single = stub_batch(seeds, name)
    return single.model_copy(update={"axes": (*single.axes, Axis(name="twin", values=values))})


def under_way(pool: Pool, name: str) -> None:
    pool.batch = twins(name)
    submit(Resolved(pool.batch), pool.store, pool.ledger)
    pool.eventually(lambda: pool.counts[0] > 2)


def has_ended(pool: Pool) -> bool:
    ended = read_control(pool.store, pool.batch.id).state == "done"
    return ended and not pool.store.exists(object_names.active(pool.batch.id))


def of_this(pattern: str, pool: Pool) -> list[bytes]:
    pattern = pattern.replace("ID", pool.batch.id)
    return list(pool.ledger.redis.scan_iter(pattern))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_is_lost_alone(pool: Pool, kind: str) -> None:
    """Nothing is counted twice either, by which a batch would end before its pictures are. What
    was in hand may be rendered twice where the whole ledger has to be rebuilt."""
    before = pool.log("w")
    under_way(pool, f"lost-{KINDS.index(kind)}")
    for key in of_this(kind, pool):
        pool.ledger.redis.delete(key)
    pool.eventually(lambda: has_ended(pool))
    jobs = [i for i in Matrix(pool.batch).numbers() if i % 2 == 0]
    done = read_done(pool.store, pool.batch.id)
    assert [i for i in Matrix(pool.batch).numbers() if is_set(done, i)] == jobs
    assert pool.right_pictures() == 2 * len(jobs)
    said = pool.log("w").removeprefix(before)
    begun = [line.split()[-1] for line in said.splitlines() if " begins " in line]
    assert len(begun) - len(set(begun)) <= (THREADS if kind in REBUILT else 0)
    assert "Traceback" not in said


def test_no_kind_is_forgotten_here(pool: Pool) -> None:
    under_way(pool, "all-kinds")
    patterns = [kind.replace("ID", "[a-z0-9-]+").replace("*", ".*") for kind in KINDS]
    seen = [key.decode() for key in pool.ledger.redis.scan_iter("*")]
    assert [key for key in seen if not any(re.fullmatch(p, key) for p in patterns)] == []


# Without workers: what a tick of any of them does


def ordered(store: Store, ledger: Ledger) -> str:
    batch = twins("night", 4)
    submit(Resolved(batch), store, ledger)
    return batch.id


def tick(store: Store, ledger: Ledger) -> None:
    """As if the time for all that is due had come."""
    ledger.redis.delete(*ledger.redis.keys("gridfarm:once:*"), f"gridfarm:swept:{QUEUE}", "x")
    Dispatcher(store, ledger, [QUEUE]).tick()


def settle(store: Store, ledger: Ledger, i: int) -> None:
    """Cell i of the batch `ordered` is stored and done."""
    batch = twins("night", 4)
    key = key_of(batch, i)
    store.put(object_names.picture(key), as_if_rendered(key))
    ledger.done(batch.id, i, key)


@pytest.mark.parametrize("part", ["done", "holes", "failed"])
def test_a_part_that_is_counted_is_rebuilt(store: Store, ledger: Ledger, part: str) -> None:
    """And no bitmap that lacks bits gets into the store, also when the batch counts as over."""
    batch = ordered(store, ledger)
    settle(store, ledger, 0)
    store.put(object_names.failure(batch, 2), json.dumps({"reason": "bad LoRA"}).encode())
    ledger.fail(batch, 2, "key-2", "w1", "bad LoRA")
    assert Dispatcher(store, ledger, []).ending.snapshot(batch)
    bits = read_done(store, batch)
    settle(store, ledger, 4), settle(store, ledger, 6)
    ledger.redis.delete(f"gridfarm:batch:{batch}:{part}")
    Dispatcher(store, ledger, []).ending.finish(batch)
    assert read_done(store, batch) == bits
    assert read_control(store, batch).state == "rendering"
    tick(store, ledger)
    status = ledger.status(batch)
    assert status
    assert (status.done, status.failed, status.generation) == (1, 1, 1)
    assert ledger.failures(batch) == {2: "bad LoRA"}
    assert ledger.sound(batch)


def test_a_batch_that_is_active_no_more_is_put_back(store: Store, ledger: Ledger) -> None:
    """Its cells in hand stay with those that have them; autoscalers hear of it, too."""
    batch = ordered(store, ledger)
    assert ledger.claim(batch, 0, 0, "key-0", "w1") == "ok"
    names = ("active", "queues", "wanted", f"wanted:{QUEUE}")
    ledger.redis.delete(*(f"gridfarm:{name}" for name in names))
    tick(store, ledger)
    assert ledger.active() == [batch]
    assert ledger.redis.exists(*(f"gridfarm:{name}" for name in names)) == len(names)
    assert ledger.claim(batch, 0, 0, "key-0", "w2") == "leased"
    assert read_control(store, batch).generation == 0


def test_who_holds_a_cell_without_a_lease_gets_one(store: Store, ledger: Ledger) -> None:
    """It runs out if its holder is gone, and the cell is sent again."""
    batch = ordered(store, ledger)
    ledger.claim(batch, 0, 0, "key-0", "w1")
    ledger.redis.delete(f"gridfarm:batch:{batch}:leases")
    tick(store, ledger)
    assert ledger.claim(batch, 0, 0, "key-0", "w2") == "leased"


@pytest.mark.parametrize("state", ["cancelled", "paused", "done"])
def test_what_does_not_render_is_not_begun_anew(store: Store, ledger: Ledger, state: str) -> None:
    """A batch that is missing among the active ones because it is over is left so."""
    batch = ordered(store, ledger)
    if state == "done":
        for i in (0, 2, 4, 6):
            settle(store, ledger, i)
    else:
        controller = Controller(batch, store, ledger)
        controller.cancel() if state == "cancelled" else controller.pause()
    ledger.redis.delete("gridfarm:active", QUEUE)
    tick(store, ledger)
    tick(store, ledger)
    status = ledger.status(batch)
    assert status and status.state == state
    assert ledger.active() == ([batch] if state == "paused" else [])
    assert ledger.redis.llen(QUEUE) == 0


# The server's clock went back by an hour


def test_a_lease_from_the_future_ends_in_time(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that has it is dead. So does a pause, and a turn to sweep."""
    monkeypatch.setattr("common.dispatch.ledger.LEASE_MS", 0)
    batch, later = ordered(store, ledger), now_ms(ledger) + HOUR_MS
    of = f"gridfarm:batch:{batch}"
    ledger.redis.zrem(f"{of}:sent", 0, 2)
    ledger.redis.delete(QUEUE)
    ledger.redis.zadd(f"{of}:leases", {"0": later})
    ledger.redis.hset(f"{of}:holders", "0", "w1")
    ledger.redis.zadd(f"{of}:again", {"2": later})
    ledger.redis.set(f"gridfarm:swept:{QUEUE}", 1, px=HOUR_MS)
    assert ledger.sweep(QUEUE)
    assert not ledger.redis.exists(f"{of}:leases")
    waits = dict(ledger.redis.zrange(f"{of}:again", 0, -1, withscores=True))
    now = now_ms(ledger)
    assert waits[b"0"] <= now and now < waits[b"2"] <= now + 60_000


def test_a_message_that_was_lost_in_the_future(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.dispatch.ledger.LOST_AFTER_MS", 0)
    batch = ordered(store, ledger)
    ledger.redis.delete(QUEUE)
    later = now_ms(ledger) + HOUR_MS
    ledger.redis.zadd(f"gridfarm:batch:{batch}:off", {str(i): later for i in (0, 2, 4, 6)})
    assert ledger.sweep(QUEUE)
    assert ledger.feed(QUEUE, "task") == 4


def test_the_picture_of_a_dead_worker_is_anybodys(ledger: Ledger, store: Store) -> None:
    """Another batch's cell of the same key waits for a lease's time, and no hour."""
    batch = ordered(store, ledger)
    ledger.redis.set("gridfarm:key:key-0", "other-1 7", px=10_000)
    assert ledger.claim(batch, 0, 0, "key-0", "w1") == "elsewhere"
    ledger.redis.set("gridfarm:key:key-0", "other-1 7", px=HOUR_MS)
    assert ledger.claim(batch, 0, 0, "key-0", "w1") == "ok"


def test_a_dead_worker_is_not_alive_for_an_hour(pool: Pool) -> None:
    """Its beats may have been for ten minutes at most."""
    register = pool.ledger.redis
    register.zadd("gridfarm:alive", {"dead": now_ms(pool.ledger) + HOUR_MS})
    pool.eventually(
        lambda: register.zscore("gridfarm:alive", "dead") < now_ms(pool.ledger) + 601_000
    )


def now_ms(ledger: Ledger) -> int:
    seconds, micros = ledger.redis.time()
    return seconds * 1000 + micros // 1000
