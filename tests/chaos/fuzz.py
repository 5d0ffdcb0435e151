"""Hostile inputs by the thousand (tests/fuzz): each ends in a clear error or a correct result.

The messages go onto a real queue that a real worker process consumes. GRIDFARM_FUZZ=10 tries ten
times as many; GRIDFARM_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import resource
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from common.dispatch import Control, queue_name, write_control
from common.store import object_names, open_store
from tests.chaos.figures import Figure
from tests.fuzz import hostile, readers
from tests.support.pool import Pool
from tests.support.servers import valkey
from worker.process.transport import asks_for_a_cell

TIMES = int(os.environ.get("GRIDFARM_FUZZ", "1"))
SEED = int(os.environ.get("GRIDFARM_FUZZ_SEED", random.randrange(2**32)))
MOST_SECONDS = 20.0
#: MB that the process may take in all; a hostile input of a few kB must not ask for GBs.
MOST_MEMORY = 1_000
SHOWN = 5


@dataclass
class Tally:
    """How the inputs of one kind ended."""

    kind: str
    endings: dict[str, int] = field(default_factory=lambda: {"error": 0, "result": 0, "else": 0})
    slowest: float = 0.0

    def try_one(self, read: Callable[[Any], str], data: Any) -> None:
        began = time.monotonic()
        try:
            ending = read(data)
        except Exception:
            ending = "else"
            if self.endings["else"] < SHOWN:
                print(f"  {self.kind}: {data!r:.2000}\n{traceback.format_exc(limit=-4)}")
        self.endings[ending] += 1
        self.slowest = max(self.slowest, time.monotonic() - began)

    @property
    def tried(self) -> int:
        return sum(self.endings.values())

    def figures(self) -> Iterator[Figure]:
        right = f"{self.endings['error']:,} / {self.endings['result']:,}"
        yield Figure(f"{self.kind}: tried", f"{self.tried:,}")
        yield Figure("  ended in a clear error / in a result", right)
        wrong = self.endings["else"]
        yield Figure("  anything else", f"{wrong:,}", "0", not wrong)
        met = self.slowest < MOST_SECONDS
        yield Figure("  slowest", f"{self.slowest:.2f} s", f"< {MOST_SECONDS:g} s", met)


def tried(
    kind: str, strategy: st.SearchStrategy[Any], number: int, read: Callable[[Any], str]
) -> Tally:
    """`number` inputs that hypothesis draws, each read once."""
    tally = Tally(kind)

    @seed(SEED)
    @settings(
        max_examples=number * TIMES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def try_each(data: Any) -> None:
        tally.try_one(read, data)

    try_each()
    return tally


def figures(folder: Path) -> Iterable[Figure]:
    yield Figure("the run's seed", str(SEED))
    before = _peak_mb()
    tallies: list[Tally] = []
    for run in (_batch_files, _documents, _commands, _small_documents, _sidecars, _pngs):
        tallies.append(run(folder))
        yield from tallies[-1].figures()
    peak = _peak_mb()
    with valkey(folder / "broker") as broker:
        pool = Pool(broker.url, folder)
        try:
            yield from _messages(pool, tallies)
            yield from _active_documents(pool, tallies)
        finally:
            pool.end()
    total, must = sum(tally.tried for tally in tallies), 2_000 * TIMES
    yield Figure("inputs in all", f"{total:,}", f">= {must:,}", total >= must)
    yield Figure("memory of this process, before", f"{before:.0f} MB")
    grown = peak < before + MOST_MEMORY
    yield Figure("  at its highest", f"{peak:.0f} MB", f"< {MOST_MEMORY:,} MB more", grown)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


def _room(folder: Path) -> Path:
    room = folder / "room"
    room.mkdir(exist_ok=True)
    return room


def _batch_files(folder: Path) -> Tally:
    room = _room(folder)

    def read(data: bytes) -> str:
        ending = readers.read_batch_file(data, room)
        assert readers.command("plan", str(room / "batch.yaml")) == ending
        return ending

    with _settings(room):
        return tried("batch files", hostile.batch_files(), 800, read)


def _documents(folder: Path) -> Tally:
    store = open_store(str(_room(folder) / "store"))
    return tried(
        "batch documents", hostile.batch_documents(), 400,
        lambda data: readers.read_document(data, store)[0],
    )  # fmt: skip


def _commands(folder: Path) -> Tally:
    room = _room(folder)
    store = open_store(str(room / "store"))

    def read(both: tuple[bytes, str]) -> str:
        _, cells = readers.read_document(both[0], store)
        return readers.look_with(both[1], room, cells)

    strategy = st.tuples(hostile.batch_documents(), st.sampled_from(readers.COMMANDS))
    with _settings(room):
        return tried("commands on batch documents", strategy, 200, read)


def _settings(room: Path) -> Any:
    return patch.dict(
        os.environ, GRIDFARM_STORE=str(room / "store"), GRIDFARM_CACHE=str(room / "cache")
    )


def _small_documents(folder: Path) -> Tally:
    store = open_store(str(_room(folder) / "store"))
    return tried(
        "control.json, failures, done.bitmap", hostile.small_documents(), 300,
        lambda data: readers.read_small_document(data, store),
    )  # fmt: skip


def _sidecars(folder: Path) -> Tally:
    strategy = hostile.sidecars().map(hostile.with_text)
    return _pictures(folder, "sidecars, as the text in a PNG", strategy)


def _pngs(folder: Path) -> Tally:
    return _pictures(folder, "PNGs", hostile.pngs())


def _pictures(folder: Path, kind: str, strategy: st.SearchStrategy[bytes]) -> Tally:
    store, cell = open_store(str(folder / "pictures")), hostile.stored_cell()
    return tried(kind, strategy, 300, lambda data: readers.read_png(data, store, cell))


# --- against a worker process

DRAINED_S = 60


def _messages(pool: Pool, tallies: list[Tally]) -> Iterator[Figure]:
    """All onto the queue, and a good batch behind them."""
    worker = pool.start("worker", "--steps=1", "--ms-per-step=1")
    pool.listens("worker")
    pool.submit(10)
    pool.eventually(lambda: pool.counts == (10, 0))
    tally = tried("messages", hostile.messages(pool.batch.id), 400, lambda data: _push(pool, data))
    pool.eventually(lambda: _drained(pool), seconds=DRAINED_S)
    pool.submit(11)
    pool.eventually(lambda: pool.counts == (11, 0), seconds=DRAINED_S)
    log = pool.log("worker")
    dropped = log.count("was dropped")
    tallies.append(tally)
    yield from tally.figures()
    all_said = dropped == tally.endings["error"]
    yield Figure("  dropped with a line in the log", f"{dropped:,}", "each bad one", all_said)
    yield from _still_well(worker, log, pool)


def _push(pool: Pool, data: bytes) -> str:
    """An error is one that names no cell."""
    import json

    pool.ledger.redis.lpush(queue_name(), data)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return readers.ERROR
    return readers.RESULT if asks_for_a_cell(message) else readers.ERROR


def _drained(pool: Pool) -> bool:
    redis = pool.ledger.redis
    return not redis.llen(queue_name()) and not redis.hlen("gridfarm:unacked_key")


def _active_documents(pool: Pool, tallies: list[Tally]) -> Iterator[Figure]:
    """Batches in the store, each marked as active: what the worker's timer rebuilds from."""
    number = 0

    def place(data: bytes) -> str:
        nonlocal number
        number += 1
        batch_id = f"hostile-{number:08d}"
        pool.store.put(object_names.batch(batch_id), data)
        write_control(pool.store, batch_id, Control())
        pool.store.put(object_names.active(batch_id), b"")
        return "result"

    tally = tried("active batch documents", hostile.batch_documents(), 60, place)
    reopened = time.monotonic()
    pool.eventually(lambda: time.monotonic() > reopened + 25, seconds=40)
    pool.submit(12)
    pool.eventually(lambda: pool.counts == (12, 0), seconds=DRAINED_S)
    tallies.append(tally)
    yield Figure("active batch documents: placed", f"{tally.tried:,}")
    yield from _still_well(pool.running[0], pool.log("worker"), pool)


def _still_well(worker: Any, log: str, pool: Pool) -> Iterator[Figure]:
    alive = worker.poll() is None
    yield Figure("  the worker process afterwards", "alive" if alive else "dead", "alive", alive)
    tracebacks = log.count("Traceback")
    if tracebacks:
        print(log[log.index("Traceback") - 300 :][:3000])
    yield Figure("  tracebacks in its log", f"{tracebacks:,}", "0", not tracebacks)
    right, jobs = pool.right_pictures(), pool.counts[0]
    yield Figure("  a good batch behind them", f"{right} of {jobs} right", "all", right == jobs)
