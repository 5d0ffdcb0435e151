"""What workers that have nothing to do cost the broker, and the store.

Most workers are simulated by the calls that they make (tests/support/idle_workers.py); thirty of
the thousand are real processes with the stub renderer. The broker's own INFO says what it did, and
for how long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

from common.dispatch import TASK_NAME, Dispatcher, Ledger, WorkerReport, queue_name
from common.dispatch.ledger import FEED_STEPS, Opening
from common.dispatch.rebuild import RECONCILE_ALL_EVERY_MS
from common.store import Store
from producer.submission import Resolved, submit
from tests.chaos.figures import Figure
from tests.chaos.scale import command
from tests.chaos.stores import environment
from tests.support.pool import Pool, stub_batch
from tests.support.servers import Valkey, ministack, valkey
from tests.support.troubled_s3 import TroubledS3
from worker.process.heartbeat import next_in

WORKERS = (10, 100, 1_000)
BATCHES = (0, 300)
#: Of the largest number of workers, so many are real.
REAL = 30
SETTLE_S, MEASURE_S, START_S = 12.0, 15.0, 180
#: Percent of a core, of the broker; seconds, of a command.
MOST_BUSY, MOST_S = 10.0, 2.0
CELLS = 100
#: Milliseconds that one step may keep all others waiting.
LONGEST_STEP_MS = 10.0
#: Seconds for which requests are counted.
IDLE_S = 130.0


@dataclass(frozen=True)
class Load:
    """Of the broker, over a while: percent of a core, and what came from outside."""

    busy: float
    requests: float

    def __str__(self) -> str:
        return f"{self.busy:.1f} %, {self.requests:,.0f}/s"


def load_of(ledger: Ledger, seconds: float) -> Load:
    before, began = _used(ledger), time.monotonic()
    time.sleep(seconds)
    after, took = _used(ledger), time.monotonic() - began
    cpu, requests = after[0] - before[0], after[1] - before[1]
    return Load(100 * cpu / took, requests / took)


def _used(ledger: Ledger) -> tuple[float, int]:
    cpu: Any = ledger.redis.info("cpu")
    stats: Any = ledger.redis.info("stats")
    used = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
    return used, stats["total_reads_processed"]


@contextmanager
def idle_workers(broker: str, store: str, count: int) -> Iterator[None]:
    """In two processes, since one would be busier than the broker."""
    half = count // 2
    shares = ((0, half), (half, count - half))
    command = (sys.executable, "-m", "tests.support.idle_workers", f"--broker={broker}")
    processes = [
        subprocess.Popen([*command, f"--store={store}", f"--first={first}", f"--workers={n}"])
        for first, n in shares
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def some_batches(count: int, pool: Pool) -> None:
    """Every other one paused; the rest wait for workers of a GPU that nobody has."""
    for number in range(count):
        batch = stub_batch(CELLS, f"idle{number}", gpu="h100")
        submit(Resolved(batch), pool.store, pool.ledger)
        if number % 2:
            pool.ledger.control(batch.id, generation=1, state="paused", priority=1)


def figures(folder: Path) -> Iterator[Figure]:
    for workers in WORKERS:
        for batches in BATCHES:
            with valkey(folder / f"{workers}-{batches}") as broker:
                yield from idling(folder / f"{workers}-{batches}", broker, workers, batches)
    with valkey(folder / "real") as broker:
        yield from real_workers(folder / "real", broker)
    yield from a_picture(folder / "picture")
    with valkey(folder / "many") as broker:
        yield from steps(broker)
    yield from requests(folder)


def idling(folder: Path, broker: Valkey, workers: int, batches: int) -> Iterator[Figure]:
    pool = Pool(broker.url, folder)
    some_batches(batches, pool)
    is_largest = (workers, batches) == (max(WORKERS), max(BATCHES))
    real = REAL if is_largest else 0
    with idle_workers(broker.url, pool.store_url, workers - real), processes(pool, real):
        time.sleep(SETTLE_S)
        load = load_of(pool.ledger, MEASURE_S)
        alive = len(pool.ledger.workers.alive())
        yield Figure(
            f"{workers:,} idle workers, alive", f"{alive:,}", f"{workers:,}", alive == workers
        )
        yield Figure(f"{workers:,} idle workers, {batches} batches: the broker is busy", str(load),
                     f"< {MOST_BUSY:g} %", load.busy < MOST_BUSY)  # fmt: skip
        if is_largest:
            yield from meanwhile(folder, pool)


@contextmanager
def processes(pool: Pool, count: int) -> Iterator[None]:
    """Real workers of these, all of which listen."""
    names = [f"real{number}" for number in range(count)]
    try:
        for name in names:
            pool.start(name)
        for name in names:
            pool.eventually(lambda name=name: " listens on " in pool.log(name), seconds=START_S)  # type: ignore[misc]
        yield
    finally:
        pool.end()


def meanwhile(folder: Path, pool: Pool) -> Iterator[Figure]:
    """What a person types while that many idle."""
    where = ("--store", pool.store_url, "--broker", pool.broker)
    (folder / "more.yaml").write_text("name: more\nmodel: tiny\nprompts: [x]\nseeds: 0..99\n")
    yield answered_in("submit", str(folder / "more.yaml"), *where)
    for words in (
        ("list",), ("status", "more"), ("pause", "more"), ("resume", "more"),
        ("priority", "more", "high"), ("retry", "more"), ("cancel", "more"), ("verify", "more"),
        ("rm", "more", "--yes"),
    ):  # fmt: skip
        yield answered_in(*words, *where)


def answered_in(*words: str) -> Figure:
    seconds, _, _ = command(*words)
    return Figure(f"  {words[0]} meanwhile", f"{seconds:.2f} s", f"< {MOST_S:g} s",
                  seconds < MOST_S)  # fmt: skip


def real_workers(folder: Path, broker: Valkey) -> Iterator[Figure]:
    """Two processes with all that a worker has, idle and then at work."""
    pool = Pool(broker.url, folder)
    try:
        for name in ("one", "other"):
            pool.start(name, "--gpu=l4", "--threads=4", "--steps=1", "--ms-per-step=20")
            pool.listens(name)
        time.sleep(SETTLE_S)
        load = load_of(pool.ledger, 2 * MEASURE_S)
        yield Figure("a real idle worker", f"{load.requests / 2:.1f} requests/s")
        before = _used(pool.ledger)
        pool.submit(400)
        pool.eventually(lambda: pool.counts[0] == 400, seconds=120)
        after = _used(pool.ledger)
        yield Figure("a cell, from message to done", f"{(after[1] - before[1]) / 400:.1f} requests")
        yield Figure("  of the broker", f"{1e6 * (after[0] - before[0]) / 400:.0f} µs")
    finally:
        pool.end()


def a_picture(folder: Path, cells: int = 400) -> Iterator[Figure]:
    """What a picture asks of an S3 server, its batch's beginning and end included."""
    with (
        valkey(folder / "broker") as broker,
        ministack(folder / "s3") as s3,
        TroubledS3(s3.port) as counted,
        environment(s3.environment),
    ):
        url, behind = f"s3://{s3.bucket}/farm", {"AWS_ENDPOINT_URL_S3": counted.url}
        pool = Pool(broker.url, folder, url, behind)
        try:
            pool.start("w", "--steps=1", "--ms-per-step=20")
            pool.listens("w")
            counted.seen.clear()
            pool.submit(cells)
            pool.eventually(lambda: not pool.ledger.active(), seconds=120)
        finally:
            pool.end()
        asked = ", ".join(f"{n / cells:.2f} {name}" for name, n in sorted(counted.seen.items()))
        total = counted.seen.total() / cells
        yield Figure(f"requests a picture, of {asked}", f"{total:.1f}")


def steps(broker: Valkey) -> Iterator[Figure]:
    """How long one step holds up all others, among many batches, messages and workers."""
    ledger = Ledger(broker.url)
    for number in range(max(BATCHES)):
        ledger.open(Opening(f"open-{number}", queue_name(), CELLS, CELLS, [(CELLS, 1)]))
    for number in range(max(WORKERS)):
        said = WorkerReport(f"w-{number}", "m", (queue_name(),), 4, "NVIDIA L4", "listening")
        ledger.workers.heartbeat(said, ttl_ms=3_600_000)
    pieces = median(feed_ms(ledger) for _ in range(40))
    yield held_up("a feed that fills a window of 12,000, in pieces", pieces)
    ledger.feed(queue_name(), TASK_NAME)
    ledger.redis.config_resetstat()
    for _ in range(100):
        ledger.feed(queue_name(), TASK_NAME)
    yield held_up("a feed that sends nothing", step_ms(ledger))
    yield held_up("a cell from its claim to the next message", cell_ms(ledger))
    yield held_up("a sweep over 12,000 messages", median(sweep_ms(ledger) for _ in range(9)))
    ledger.redis.config_resetstat()
    fields = (queue_name(), CELLS, CELLS, [(CELLS, 1)])
    ledger.open(Opening("urgent", *fields, priority=2))
    yield held_up("a batch of a higher priority", step_ms(ledger), must=False)
    ledger.redis.config_resetstat()
    ledger.control("urgent", generation=1, state="cancelled", priority=2)
    yield held_up("a cancellation", step_ms(ledger), must=False)


def feed_ms(ledger: Ledger) -> float:
    """One call of the step, whether or not more is to be sent."""
    ledger.redis.config_resetstat()
    ledger.broker.step("feed", TASK_NAME, FEED_STEPS, queue_name())
    return step_ms(ledger)


def cell_ms(ledger: Ledger) -> float:
    """Its steps together, of a hundred."""
    ledger.redis.config_resetstat()
    for raw in cast("list[bytes]", ledger.redis.rpop(queue_name(), 100)):
        batch_id, i, generation = json.loads(json.loads(raw)["body"])[0]
        key = f"{batch_id} {i}"
        assert ledger.claim(batch_id, i, generation, key, "w-0") == "ok"
        ledger.done(batch_id, i, key)
        ledger.feed(queue_name(), TASK_NAME)
    return 3 * step_ms(ledger)


def sweep_ms(ledger: Ledger) -> float:
    ledger.redis.delete(f"gridfarm:swept:{queue_name()}")
    ledger.redis.config_resetstat()
    assert ledger.sweep(queue_name())
    return step_ms(ledger)


def step_ms(ledger: Ledger) -> float:
    """Milliseconds of a call since the statistics were reset."""
    stats: Any = ledger.redis.info("commandstats")
    return float(stats["cmdstat_evalsha"]["usec_per_call"]) / 1000


def held_up(what: str, ms: float, *, must: bool = True) -> Figure:
    limit = f"< {LONGEST_STEP_MS:g} ms" if must else ""
    return Figure(what, f"{ms:.2f} ms", limit, ms < LONGEST_STEP_MS)


def requests(folder: Path) -> Iterator[Figure]:
    """What an idle farm asks of its store in a day, of thirty batches that nobody renders."""
    with valkey(folder / "asked") as broker:
        pool = Pool(broker.url, folder / "asked")
        some_batches(30, pool)
        asked = counting(pool.store)
        dispatcher = Dispatcher(pool.store, pool.ledger, [queue_name()])
        dispatcher.tick()
        thorough = Counter(asked)  # the first look is at all of them
        asked.clear()
        began = time.monotonic()
        while time.monotonic() < began + IDLE_S:
            time.sleep(next_in(dispatcher.tick()))
        for name in ("list", "get", "put"):
            a_day = asked[name] * 86_400 / IDLE_S
            a_day += thorough[name] * 86_400_000 / RECONCILE_ALL_EVERY_MS
            yield Figure(f"{name.upper()}s a day, 30 idle batches", f"{a_day:,.0f}")


def counting(store: Store) -> Counter[str]:
    """How often each of its methods is called from now on."""
    asked: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        method = getattr(store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            asked[name] += 1
            return method(*arguments, **options)

        return call

    for name in ("list", "get", "put", "exists", "delete"):
        setattr(store, name, counted(name))
    return asked
