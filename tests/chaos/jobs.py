"""A batch through a storm of faults, and what became of it.

    CHAOS_SEED=7 python -m tests.chaos jobs      # the faults' order of an earlier run

What was begun and rendered, the machines' logs say. What was stored is read back and compared
pixel by pixel with what the stub draws for that key.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from PIL import Image

from common.batch import Cell, Matrix
from common.dispatch import queue_name, read_failures
from common.errors import BrokerError, GridfarmError, ObjectMissing
from common.picture import decode_meta
from common.store import object_names
from tests.chaos.figures import Figure
from tests.chaos.storm import Plan, Storm
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import ministack, valkey
from tests.support.stub_worker import stub_picture

EXTRA_A_KILL = 3
#: A line in a worker's log that none of the faults explains.
SURPRISE = re.compile(r".*(?: raised unexpected| failed; it goes on| was dropped).*")


@dataclass
class Pictures:
    """How many cells are stored, have the pixels of their own key, and a Job with that key
    inside; what is wrong with the others."""

    stored: int = 0
    right: int = 0
    keyed: int = 0
    wrong: dict[int, str] = field(default_factory=dict)


def look_at(pool: Pool) -> Pictures:
    found = Pictures()
    for cell in Matrix(pool.batch):
        if wrong := _look_at(cell, pool, found):
            found.wrong[cell.i] = wrong
    return found


def _look_at(cell: Cell, pool: Pool, found: Pictures) -> str:
    try:
        png = pool.store.get(object_names.picture(cell.key))
    except ObjectMissing:
        return "not stored"
    found.stored += 1
    try:
        written = decode_meta(png).job.key
        with Image.open(BytesIO(png)) as picture:
            right = picture.convert("RGB").tobytes() == stub_picture(cell.job).tobytes()
    except (GridfarmError, OSError, SyntaxError) as error:
        return f"no picture of gridfarm's: {error}"
    found.keyed += written == cell.key
    found.right += right
    if written != cell.key:
        return f"its Job has the key {written}"
    return "" if right else "another cell's picture"


@dataclass
class Result:
    """`begun` and `rendered` count renders, also those that were in vain; `facts` are for
    whoever looks for the cause of a shortfall."""

    storm: Storm
    pictures: Pictures
    over: bool
    failed: int
    begun: int
    rendered: int
    surprises: list[str]
    facts: list[str]


def storm(plan: Plan, folder: Path, store: str, seed: int) -> Result:
    """`store` as in GRIDFARM_STORE. `seed` decides what happens when, and to whom."""
    with valkey(folder / "broker") as broker, Proxy(broker.port) as network:
        pool = Pool(broker.url, folder, store)
        try:
            weather = Storm(plan, pool, broker, network, random.Random(seed))
            weather.run()
            return _result(weather, pool)
        finally:
            pool.end()


def _result(weather: Storm, pool: Pool) -> Result:
    pictures, logs, over = look_at(pool), weather.logs, weather.is_over
    failed = read_failures(pool.store, pool.batch.id)
    facts = [f"#{i}: {wrong}" for i, wrong in pictures.wrong.items()]
    facts += [f"#{i} failed: {reason}" for i, reason in failed.items()]
    if facts or not over:
        facts += ledger_facts(pool, pictures.wrong) + log_facts(logs, pictures.wrong)
    return Result(
        weather,
        pictures,
        over=over,
        failed=len(failed),
        begun=len(re.findall(r" begins [0-9a-f]{64}", logs)),
        rendered=len(re.findall(r" #\d+ rendered in ", logs)),
        surprises=(surprises := SURPRISE.findall(logs)),
        facts=facts + surprises,
    )


def ledger_facts(pool: Pool, cells: Iterable[int]) -> list[str]:
    """What the broker knows of these cells, to find out where they are stuck."""
    redis, batch = pool.ledger.redis, f"gridfarm:batch:{pool.batch.id}"
    parts: dict[str, Callable[[str, int], object]] = {
        "sent": redis.zscore, "off": redis.zscore, "leases": redis.zscore, "again": redis.zscore,
        "holders": redis.hget, "charges": redis.hget, "failed": redis.hget,
        "done": redis.getbit,
    }  # fmt: skip
    try:
        facts = [
            f"ledger: {redis.hgetall(batch)}",
            f"on the queue: {redis.llen(queue_name())}, "
            f"unacknowledged: {redis.hlen('gridfarm:unacked')}",
            f"workers: {pool.ledger.workers.alive()}",
        ]
        for i in cells:
            found = {name: ask(f"{batch}:{name}", i) for name, ask in parts.items()}
            facts.append(f"#{i} in the ledger: { {k: v for k, v in found.items() if v} }")
    except (BrokerError, OSError) as error:
        facts = [f"the broker does not answer: {error}"]
    return facts


def log_facts(logs: str, cells: Iterable[int]) -> list[str]:
    wanted = re.compile(rf" #({'|'.join(map(str, cells))})[ :]")
    return [line for line in logs.splitlines() if wanted.search(line)]


def as_figures(plan: Plan, result: Result) -> Iterator[Figure]:
    """Each with what it must be."""
    all_jobs = f"{plan.jobs:,} of {plan.jobs:,}"
    for what, count in (
        ("stored", result.pictures.stored),
        ("with the pixels of their own key", result.pictures.right),
        ("whose Job inside hashes to their key", result.pictures.keyed),
    ):
        value = f"{count:,} of {plan.jobs:,}"
        yield Figure(what, value, all_jobs, value == all_jobs)
    yield _none("failed cells", result.failed)
    yield Figure("the batch is done", "yes" if result.over else "no", "yes", result.over)
    yield from _faults(plan, result.storm)
    yield _none("launchers that ended otherwise than told", result.storm.unclean)
    yield _none("lines in the logs that no fault explains", len(result.surprises))
    most, extra = EXTRA_A_KILL * plan.sigkills, result.begun - plan.jobs
    must = f"at most {most} ({EXTRA_A_KILL} a SIGKILL)"
    yield Figure("renders begun more than once", f"{extra}", must, extra <= most)
    yield Figure("  of these to their end", f"{result.rendered - plan.jobs}")
    yield Figure("time", f"{result.storm.seconds:.0f} s")


def _none(what: str, count: int) -> Figure:
    return Figure(what, f"{count}", "0", count == 0)


def _faults(plan: Plan, weather: Storm) -> Iterator[Figure]:
    seen = weather.happened
    for what, count, must in (
        ("SIGKILLs of worker processes", seen["killed"] + seen["vanished"], plan.sigkills),
        ("  of these with their launcher", seen["vanished"], plan.vanished),
        ("preemptions (SIGTERM)", seen["preempted"], plan.preempted),
        ("SIGKILLs of the broker", seen["broker_killed"], plan.broker_killed),
        ("times all connections to the broker were cut", seen["cut"], plan.cut),
        ("FLUSHALL", seen["wiped"], plan.wiped),
    ):
        yield Figure(what, f"{count}", f"{must}", count == must)
    yield Figure("launchers started again (no broker at their start)", f"{weather.fallen}")


def figures(folder: Path) -> Iterator[Figure]:
    plan, seed = Plan(), int(os.environ.get("CHAOS_SEED") or random.randrange(10_000))
    yield Figure("seed of the faults' order (CHAOS_SEED)", f"{seed}")
    yield Figure("machines; renderer", f"{plan.machines}; stub, 2 × {plan.ms_per_step} ms")
    yield Figure("pictures; store", "64 × 64; S3 server")
    with ExitStack() as stack:
        s3 = stack.enter_context(ministack(folder / "s3"))
        stack.enter_context(patch.dict(os.environ, s3.environment))
        result = storm(plan, folder, f"s3://{s3.bucket}/jobs", seed)
    yield from as_figures(plan, result)
    for fact in result.facts:
        print(f"    {fact}")
