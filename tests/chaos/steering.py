"""Several people steer six batches that share pictures, at random, while workers render them.

Each seed is a minute of submit, cancel, pause, resume, retry, priority and rm from three threads at
once. Then everything that is still there goes on to its end, and is compared with the store: every
batch ends, every picture that is said to be stored is there, and none is left that no batch has.

    GRIDFARM_CHAOS_SEEDS=10 python -m tests.chaos steering
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from common.batch import Batch, Matrix, RangeAxis
from common.dispatch import Ledger
from common.errors import GridfarmError
from common.picture import is_stored
from common.store import Store, object_names, open_store
from producer import Farm
from producer.submission import Resolved, submit
from tests.chaos.figures import Figure
from tests.support.pool import Pool, stub_batch
from tests.support.servers import ministack, valkey

BATCHES, CELLS, OVERLAP = 6, 20, 12
PEOPLE, WORKERS = 3, 3
SECONDS = 60.0


def shared_batch(number: int) -> Batch:
    """One of several that have pictures in common with their neighbours."""
    first = number * (CELLS - OVERLAP)
    axis = RangeAxis(name="seed", first=str(first), last=str(first + CELLS - 1))
    return stub_batch(1, "shared").model_copy(update={"name": f"b{number}", "axes": (axis,)})


@dataclass
class People:
    """Give commands at random for a while. What is refused is counted by its kind; what is no
    expected error is kept in `surprises`."""

    pool: Pool
    seed: int
    given: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    surprises: list[BaseException] = field(default_factory=list)

    def steer(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._give_commands, args=(person, until))
            for person in range(PEOPLE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _give_commands(self, person: int, until: float) -> None:
        chance = random.Random(self.seed * 100 + person)
        farm = Farm(broker=self.pool.broker, store=self.pool.store_url)
        commands = self._commands(farm)
        while time.monotonic() < until and not self.surprises:
            name = chance.choices(list(commands), [6, 2, 2, 3, 2, 1, 2])[0]
            batch = shared_batch(chance.randrange(BATCHES))
            try:
                commands[name](batch)
                self.given[name] += 1
            except GridfarmError as error:
                self.refused[f"{name}: {type(error).__name__}"] += 1
            except BaseException as error:
                self.surprises.append(error)
                raise
            time.sleep(chance.uniform(0.05, 0.6))

    def _commands(self, farm: Farm) -> dict[str, Callable[[Batch], object]]:
        store, ledger = open_store(self.pool.store_url), Ledger(self.pool.broker)
        return {
            "submit": lambda batch: submit(Resolved(batch), store, ledger),
            "cancel": lambda batch: farm.cancel(batch.id),
            "pause": lambda batch: farm.pause(batch.id),
            "resume": lambda batch: farm.resume(batch.id),
            "retry": lambda batch: farm.retry(batch.id),
            "priority": lambda batch: farm.prioritise(batch.id, "high"),
            "rm": lambda batch: farm.remove(batch.id, cancel=True),
        }


def storm(pool: Pool, seed: int, *, seconds: float, label: str = "") -> Iterator[Figure]:
    """People steer, then all goes on to its end."""
    people = People(pool, seed)
    for number in range(WORKERS):
        pool.start(f"w{number}", "--steps=2", "--ms-per-step=60")
    people.steer(seconds)
    assert not people.surprises, people.surprises
    print(f"    seed {seed}: {dict(people.given)}; refused {dict(people.refused)}", flush=True)
    _go_on(pool)
    yield from compared(pool, f"{label}seed {seed}: ")


def _go_on(pool: Pool) -> None:
    farm = Farm(broker=pool.broker, store=pool.store_url)
    for batch_id in pool.store.folders(object_names.BATCHES):
        farm.resume(batch_id)
        farm.retry(batch_id)
    pool.eventually(lambda: not pool.ledger.active(), seconds=120)


def compared(pool: Pool, label: str) -> Iterator[Figure]:
    """What is said of the batches that are left, beside what is in the store."""
    store, farm = pool.store, Farm(broker=pool.broker, store=pool.store_url)
    left = [shared_batch(n) for n in range(BATCHES)]
    left = [batch for batch in left if store.exists(object_names.batch(batch.id))]
    statuses = {batch.id: farm.status(batch.id) for batch in left}
    open_ones = [id_ for id_, status in statuses.items() if status.state != "done"]
    yield none(f"{label}batches that do not end, of {len(left)}", open_ones)
    said = sum(status.done for status in statuses.values())
    there = sum(is_stored(store, key) for batch in left for key in keys_of(batch))
    yield Figure(f"{label}pictures there, of those said to be stored", f"{there:,} of {said:,}",
                 "all", there == said == CELLS * len(left))  # fmt: skip
    owned = {key for batch in left for key in keys_of(batch)}
    yield none(f"{label}pictures without an owner", sorted(stored_in(store) - owned))
    yield none(
        f"{label}intents and markers left", [*store.list("removing/"), *store.list("active/")]
    )


def keys_of(batch: Batch) -> list[str]:
    return [cell.key for cell in Matrix(batch)]


def stored_in(store: Store) -> set[str]:
    names = store.list(object_names.IMAGES)
    return {Path(name).stem for name in names}


def none(what: str, found: list[str]) -> Figure:
    return Figure(what, str(len(found)) + f" {found[:2]}" * bool(found), "0", not found)


def figures(folder: Path) -> Iterator[Figure]:
    seeds = range(int(os.environ.get("GRIDFARM_CHAOS_SEEDS", "2")))
    for seed in seeds:
        for kind in ("folder", "s3"):
            yield from one_storm(folder / f"{kind}-{seed}", kind, seed)


def one_storm(folder: Path, kind: str, seed: int) -> Iterator[Figure]:
    server = ministack(folder / "server") if kind == "s3" else nullcontext()
    with valkey(folder / "broker") as broker, server as s3:
        url = f"s3://{s3.bucket}/farm" if s3 else ""
        os.environ |= s3.environment if s3 else {}
        pool = Pool(broker.url, folder, url)
        try:
            yield from storm(pool, seed, seconds=SECONDS, label=f"{kind}, ")
        finally:
            pool.end()
