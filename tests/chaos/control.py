"""A person steers a batch that real worker processes render: cancel, resume, pause, retry --all.

Seconds are counted from the start of the command, `gridfarm` itself included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from common.batch import Matrix
from common.dispatch import LEASE_MS, queue_name
from common.store import object_names
from tests.chaos.figures import Figure
from tests.chaos.scale import below, command
from tests.support.pool import Pool
from tests.support.servers import valkey

STEP_S = 0.1
STEPS = 10
RENEWAL_S = LEASE_MS / 3000


def figures(folder: Path, *, cells: int = 24, machines: int = 2) -> Iterator[Figure]:
    with valkey(folder / "broker") as broker:
        pool = Pool(broker.url, folder)
        try:
            yield from steer(pool, cells, machines)
        finally:
            pool.end()


def steer(pool: Pool, cells: int, machines: int) -> Iterator[Figure]:
    pool.submit(cells)
    for number in range(machines):
        pool.start(f"m{number}", f"--steps={STEPS}", f"--ms-per-step={STEP_S * 1000:g}")
        pool.renders(f"m{number}")
    yield from cancel(pool)
    yield from resume(pool)
    yield from pause(pool)
    tell(pool, "resume")
    pool.eventually(lambda: pool.counts == (cells, 0), seconds=120)
    yield exactly(
        "pictures right after cancel, resume, pause, resume", pool.right_pictures(), cells
    )
    yield exactly("attempts charged to what was cancelled", len(pool.charges()), 0)
    yield from retry_all(pool, cells)


def cancel(pool: Pool) -> Iterator[Figure]:
    began = time.monotonic()
    tell(pool, "cancel")
    pool.eventually(lambda: unsent(pool))
    yield below("cancel: nothing waits any more", time.monotonic() - began, 2)
    pool.eventually(lambda: not running(pool))
    took, limit = time.monotonic() - began, 1 + RENEWAL_S + STEP_S
    yield below("cancel: no cell runs (1 s, a renewal and a step)", took, limit)


def resume(pool: Pool) -> Iterator[Figure]:
    began = time.monotonic()
    tell(pool, "resume")
    pool.eventually(lambda: running(pool))
    yield below("resume: a worker has a cell", time.monotonic() - began, 2)


def pause(pool: Pool) -> Iterator[Figure]:
    pool.eventually(lambda: len(pool.charges()) > 0)
    before, in_hand = pool.counts[0], running(pool)
    began = time.monotonic()
    tell(pool, "pause")
    pool.eventually(lambda: unsent(pool))
    yield below("pause: nothing waits any more", time.monotonic() - began, 2)
    pool.eventually(lambda: not running(pool))
    finished = pool.counts[0] - before
    yield Figure("pause: cells that were in hand and are finished", f"{finished} of {in_hand}",
                 "all", finished >= in_hand)  # fmt: skip


def retry_all(pool: Pool, cells: int) -> Iterator[Figure]:
    """Pictures that somebody deleted are rendered again, and no others."""
    before = renders(pool)
    for i in (0, cells - 1):
        cell = Matrix(pool.batch)[i]
        assert cell
        pool.store.delete(object_names.picture(cell.key))
    pool.eventually(lambda: not pool.store.exists(object_names.active(pool.batch.id)))
    tell(pool, "retry", "--all")
    pool.eventually(lambda: pool.right_pictures() == cells)
    yield exactly("retry --all: renders, two pictures deleted", renders(pool) - before, 2)


def renders(pool: Pool) -> int:
    return sum(path.read_text().count(" rendered in ") for path in pool.folder.glob("*.log"))


def running(pool: Pool) -> int:
    seen = pool.ledger.status(pool.batch.id)
    return seen.running if seen else 0


def unsent(pool: Pool) -> bool:
    """No message lies on the queue, and none is under way to a worker."""
    sent = pool.ledger.redis.zcard(f"gridfarm:batch:{pool.batch.id}:sent")
    return not sent and not pool.ledger.redis.llen(queue_name())


def tell(pool: Pool, *words: str) -> None:
    command(*words, pool.batch.id, "--broker", pool.broker, "--store", pool.store_url)


def exactly(what: str, value: int, must: int) -> Figure:
    return Figure(what, str(value), str(must), value == must)
