"""A million cells: what the commands take, what the broker holds, how fast the queue is fed.

Workers are simulated: they claim and report a thousand cells in one round trip and render nothing.
The small batch that is submitted behind a large one is rendered by real stub workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.dispatch import TASK_NAME, Dispatcher, Ledger, WorkerReport, celery_app, queue_name
from common.dispatch.ledger import SCRIPT
from common.store import Store, open_store
from producer.submission import Resolved, submit
from tests.chaos.figures import Figure
from tests.support.pool import Pool, stub_batch
from tests.support.servers import Valkey, valkey

CELLS = 1_000_000
FILE = f"name: million\nmodel: tiny\nprompts: [x]\nseeds: 0..{CELLS - 1}\n"
WINDOW_THREADS = 1_000
MB = 1e6


def figures(folder: Path) -> Iterator[Figure]:
    with valkey(folder / "broker") as broker:
        yield from commands(folder, broker)
    with valkey(folder / "queue") as broker:
        yield from feeding(folder, broker)
    with valkey(folder / "fair") as broker:
        yield from fairness(folder, broker)


def commands(folder: Path, broker: Valkey) -> Iterator[Figure]:
    (folder / "million.yaml").write_text(FILE)
    where = ("--store", str(folder / "store"), "--broker", broker.url)
    ledger, store = Ledger(broker.url), open_store(str(folder / "store"))
    before = held(ledger)
    seconds, memory, answer = command("submit", str(folder / "million.yaml"), *where)
    yield below("submit, a million cells", seconds, 5)
    yield below("  memory of the producer, MB", memory, 150)
    batch, dispatcher = answer["batch"], Dispatcher(store, ledger, [queue_name()])
    beat(ledger, WINDOW_THREADS)
    most = drain(ledger, dispatcher, batch, until=CELLS // 2)
    seconds, memory, answer = command("status", batch, *where)
    assert answer["done"] >= CELLS // 2
    yield below("status, half done", seconds, 1)
    seconds, _, _ = command("cancel", batch, *where)
    yield below("cancel, until nothing is sent", seconds, 2)
    sent = int(ledger.redis.llen(queue_name())) + dispatcher.feed()  # type: ignore[arg-type]
    yield Figure("  tasks on the queue after it", str(sent), "0", sent == 0)
    seconds, _, _ = command("resume", batch, *where)
    yield below("resume, until the window is full again", seconds, 2)
    yield from wiped(ledger, store, dispatcher, batch)
    most = max(most, drain(ledger, dispatcher, batch, until=CELLS))
    yield below("the broker's growth over the batch, MB", (most - before) / MB, 20)


def wiped(ledger: Ledger, store: Store, dispatcher: Dispatcher, batch: str) -> Iterator[Figure]:
    dispatcher.ending.snapshot(batch)
    seen = ledger.status(batch)
    ledger.redis.flushall()
    beat(ledger, WINDOW_THREADS)
    asked = counting(store)
    began = time.perf_counter()
    dispatcher.tick()
    took = time.perf_counter() - began
    rebuilt = ledger.status(batch)
    assert seen and rebuilt and rebuilt.done == seen.done >= CELLS // 2
    yield below("a wiped broker, half done: rebuilt and fed", took, 5)
    yield Figure("  pictures that the store was asked for", str(asked["exists"]), "0",
                 asked["exists"] == 0)  # fmt: skip


def counting(store: Store) -> dict[str, int]:
    """How often `exists` is called from now on."""
    asked, exists = {"exists": 0}, store.exists

    def counted(name: str) -> bool:
        asked["exists"] += 1
        return exists(name)

    store.exists = counted  # type: ignore[method-assign]
    return asked


def feeding(folder: Path, broker: Valkey) -> Iterator[Figure]:
    """The dispatch loop's rate, beside a plain Celery delay() loop on the same broker."""
    ledger, queue = Ledger(broker.url), queue_name()
    batch = stub_batch(CELLS)
    submit(Resolved(batch), open_store(str(folder / "fed")), ledger)
    beat(ledger, 86)
    ours = window_rate(ledger, queue, batch.id)
    celery = delay_rate(broker.url)
    yield Figure("feeding, a window of 258 at a time", f"{ours:,.0f} tasks/s", ">= 20,000 tasks/s",
                 ours >= 20_000)  # fmt: skip
    yield Figure("  a plain Celery delay() loop, same broker", f"{celery:,.0f} tasks/s")
    yield Figure("  ratio", f"{ours / celery:.1f}")


def window_rate(ledger: Ledger, queue: str, batch_id: str) -> float:
    """Tasks per second of 200 calls that each fill an empty window of 258."""
    sent, seconds = 0, 0.0
    for _ in range(200):
        ledger.redis.delete(queue, f"gridfarm:batch:{batch_id}:sent")
        ledger.release(batch_id, 0, "", "nobody")  # a step, after which the window is seen empty
        began = time.perf_counter()
        sent += ledger.feed(queue, TASK_NAME)
        seconds += time.perf_counter() - began
    return sent / seconds


def delay_rate(broker: str) -> float:
    app = celery_app(broker)
    app.conf.task_default_queue = "plain"

    @app.task(name="plain")  # type: ignore[untyped-decorator]
    def plain(batch_id: str, i: int, generation: int) -> None: ...

    began = time.perf_counter()
    for i in range(3_000):
        plain.delay("million-1", i, 0)
    return 3_000 / (time.perf_counter() - began)


def fairness(folder: Path, broker: Valkey) -> Iterator[Figure]:
    """Twenty cells ordered behind a hundred thousand, when those are well under way."""
    (folder / "shared").mkdir()
    pool = Pool(broker.url, folder / "shared")
    large, small = stub_batch(100_000, "large"), stub_batch(20, "small")
    try:
        submit(Resolved(large), pool.store, pool.ledger)
        for number in range(2):
            pool.start(f"m{number}", "--steps=1", "--ms-per-step=50")
        pool.eventually(lambda: done(pool, large.id) >= 50)
        before = done(pool, large.id)
        submit(Resolved(small), pool.store, pool.ledger)
        pool.eventually(lambda: done(pool, small.id) == 20)
        meanwhile = done(pool, large.id) - before
    finally:
        pool.end()
    yield Figure("20 cells behind 100,000: cells of the large one meanwhile", str(meanwhile),
                 "<= 100", meanwhile <= 100)  # fmt: skip


def done(pool: Pool, batch_id: str) -> int:
    seen = pool.ledger.status(batch_id)
    return seen.done if seen else 0


def below(what: str, value: float, limit: float) -> Figure:
    """Seconds, unless `what` names another unit."""
    unit = "" if what.endswith("MB") else " s"
    return Figure(what, f"{value:.2f}{unit}", f"< {limit:g}{unit}", value < limit)


def command(*arguments: str) -> tuple[float, float, Any]:
    """Seconds, most memory in MB, and the answer of `gridfarm …  --json`."""
    program = str(Path(sys.executable).with_name("gridfarm"))
    began = time.perf_counter()
    process = subprocess.Popen(
        [program, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout
    answer = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.perf_counter() - began, usage.ru_maxrss / 1000, answer


def beat(ledger: Ledger, threads: int) -> None:
    """A worker of so many threads, for the window, which is three times as many."""
    report = WorkerReport("w", "m", (queue_name(),), threads, "cpu", "")
    ledger.workers.heartbeat(report, ttl_ms=3_600_000)


def held(ledger: Ledger) -> int:
    return int(ledger.redis.info("memory")["used_memory"])  # type: ignore[index]


def drain(ledger: Ledger, dispatcher: Dispatcher, batch: str, *, until: int) -> int:
    """Simulated workers settle cells until that many are done; the most that the broker held."""
    lua = "\n".join(file.read_text() for file in SCRIPT)
    most, sha = 0, ledger.redis.script_load(lua)
    while (seen := ledger.status(batch)) and seen.done < until:
        dispatcher.feed()
        most = max(most, held(ledger))
        raws: Any = ledger.redis.rpop(queue_name(), 1_000) or []
        with ledger.redis.pipeline(transaction=False) as pipe:
            for raw in raws:
                name, i, generation = json.loads(json.loads(raw)["body"])[0]
                pipe.evalsha(sha, 0, "claim", name, i, generation, f"{i:064x}", "w", 15_000)
                pipe.evalsha(sha, 0, "done", name, i, f"{i:064x}")
            pipe.execute()
    return most
