"""Machines that freeze (SIGSTOP, their connections stay open) and wake again.

In each run one freezes while it renders, wakes when its cells are done elsewhere (in a third of
the runs while they are being rendered there), works again, and freezes once more when it is idle,
just before the last task is pushed: the broker hands it the message, and nobody will ever work on
that (the BRPOP hole).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.dispatch import LEASE_MS, is_set, queue_name
from common.dispatch.ledger import LOST_AFTER_MS
from tests.chaos.figures import Figure
from tests.support.pool import Pool
from tests.support.servers import valkey

RUNS = 21
AT_ONCE = 7
#: Longer than the broker's connections are believed without a word.
FROZEN_LONG_S = 60.0
ELSEWHERE_S = LEASE_MS / 1000 + 10
FOUND_S = LOST_AFTER_MS / 1000 + 15
STEPS = ["--steps=10", "--ms-per-step=50"]
STALL = "--stall=3"
CELLS, MORE, PINNED = 8, 6, 3
TRIES = 5


@dataclass
class Run:
    """What one run measured, in seconds from the freeze or the push until the cells were done."""

    #: 0 where it woke before.
    elsewhere_s: float = 0.0
    lost_s: float = 0.0
    failed: int = 0
    stored: int = 0
    #: Finished batches that the machine which woke has changed.
    changed: int = 0
    #: It takes work again, was not blamed by its watchdog, and ends as it should.
    came_back: bool = False


class Freezer:
    """Two machines of a pool: `going` freezes, `staying` does not."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.run = Run()
        self._frozen: list[int] = []
        self._held: list[int] = []
        self._launcher = pool.start("going", "--launcher=1", STALL, *STEPS)
        pool.start("staying", "--gpu=l4", *STEPS)
        for name in ("going", "staying"):
            pool.listens(name)

    def freeze(self) -> float:
        """All processes of `going`; when (of time.monotonic())."""
        alive = self.pool.ledger.workers.alive()
        processes = [int(w.name.split("-")[-2]) for w in alive if w.machine == "going"]
        self._frozen = [self._launcher.pid, *processes]
        for pid in self._frozen:
            os.kill(pid, signal.SIGSTOP)
        return time.monotonic()

    def wake(self) -> None:
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def while_it_renders(self) -> float:
        """With three cells in hand, one of them on the GPU; when (of time.monotonic())."""
        pool = self.pool
        pool.submit(CELLS, "work")
        pool.eventually(lambda: len(pool.held_by("going")) == 3)
        pool.eventually(lambda: any("going" in machines for machines in pool.charges().values()))
        frozen = self.freeze()
        self._held = pool.held_by("going")
        return frozen

    def wakes_late(self, frozen: float, at_least_s: float = 0.0) -> None:
        """When all that it had in hand is done elsewhere, and the batch itself."""
        pool = self.pool
        pool.eventually(lambda: all(is_set(self._done, i) for i in self._held), seconds=60)
        self.run.elsewhere_s = time.monotonic() - frozen
        self._over(CELLS)
        time.sleep(max(0.0, frozen + at_least_s - time.monotonic()))
        self._wakes()

    def wakes_early(self) -> None:
        """When another machine has begun what it had in hand."""
        pool = self.pool
        pool.eventually(lambda: set(pool.held_by("staying")) & set(self._held), seconds=60)
        self.wake()
        self._over(CELLS)
        self._wakes()

    def _wakes(self) -> None:
        """It takes work again, and what was over stays as it was."""
        pool, before = self.pool, self._state
        work = pool.batch
        self.wake()
        pool.submit(MORE, "more")
        pool.eventually(lambda: f"{pool.batch.id} #" in pool.log("going"))
        self._over(MORE)
        pool.batch = work
        self.run.changed += before != self._state

    def just_before_a_push(self) -> None:
        """The message is not on the queue any more, and nobody has claimed the cell. Where the
        freeze meets the moment between two BRPOPs, it is tried again."""
        for number in range(TRIES):
            self._occupy_the_other(number)
            self._freeze_listening()
            self.pool.submit(1, f"last-{number}")
            pushed = time.monotonic()
            if self.pool.ledger.redis.llen(queue_name()) == 0:
                self.pool.eventually(lambda: sum(self.pool.counts) == 1, seconds=60)
                self.run.lost_s = time.monotonic() - pushed
                break
            self.wake()
            self._over(1)
        self._over(1)
        self.wake()

    def _freeze_listening(self) -> None:
        """In a BRPOP, which the broker ends after a second."""
        while True:
            self.freeze()
            clients = self.pool.ledger.redis.client_list()
            if any("b" in client["flags"] for client in clients):
                return
            self.wake()
            time.sleep(0.05)

    def _occupy_the_other(self, number: int) -> None:
        self.pool.submit(PINNED, f"pinned-{number}", gpu="l4")
        self.pool.eventually(lambda: len(self.pool.held_by("staying")) == PINNED)

    @property
    def _done(self) -> bytes:
        return self.pool.ledger.done_bitmap(self.pool.batch.id)

    @property
    def _state(self) -> tuple[object, ...]:
        ledger, batch_id = self.pool.ledger, self.pool.batch.id
        return (ledger.status(batch_id), self._done, ledger.failures(batch_id),
                self.pool.charges(), self.pool.held_by(""))  # fmt: skip

    def _over(self, cells: int) -> None:
        """The batch is done, its end written down; count what came of it."""
        pool, status = self.pool, self.pool.ledger.status
        pool.eventually(lambda: sum(pool.counts) == cells, seconds=60)
        pool.eventually(lambda: (seen := status(pool.batch.id)) and seen.state == "done")
        self.run.failed += pool.counts[1]
        self.run.stored += pool.right_pictures()

    def ends(self) -> None:
        log = self.pool.log("going")
        self._launcher.send_signal(signal.SIGTERM)
        clean = self._launcher.wait(30) == 0
        self.run.came_back = clean and "no progress" not in log and "Traceback" not in log


@contextmanager
def freezer(broker: str, folder: Path) -> Iterator[Freezer]:
    pool = Pool(broker, folder)
    try:
        made = Freezer(pool)
        try:
            yield made
        finally:
            made.wake()
    finally:
        pool.end()


def freeze_and_wake(folder: Path, number: int) -> Run:
    place = folder / str(number)
    place.mkdir()
    with valkey(place / "broker") as broker, freezer(broker.url, place) as machines:
        frozen = machines.while_it_renders()
        if number % 3 == 1:
            machines.wakes_early()
        else:
            machines.wakes_late(frozen, 0 if number else FROZEN_LONG_S)
        machines.just_before_a_push()
        machines.ends()
        return machines.run


def figures(folder: Path) -> Iterator[Figure]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(lambda number: freeze_and_wake(folder, number), range(RUNS)))
    late = [run.elsewhere_s for run in runs if run.elsewhere_s]
    yield spread(f"frozen with 3 cells in hand ({len(late)} runs): done elsewhere after",
                 late, ELSEWHERE_S)  # fmt: skip
    yield spread("frozen just before a push: the cell is done after",
                 [run.lost_s for run in runs], FOUND_S)  # fmt: skip
    failed, changed = sum(run.failed for run in runs), sum(run.changed for run in runs)
    stored = sum(run.stored for run in runs)
    back = sum(run.came_back for run in runs)
    yield Figure(f"cells failed in {RUNS} runs, {stored} stored", str(failed), "0", failed == 0)
    yield Figure("finished batches changed by a machine that woke", str(changed), "0", not changed)
    yield Figure(f"woke, worked again and ended well, of {RUNS}", str(back), str(RUNS),
                 back == RUNS)  # fmt: skip


def spread(what: str, seconds: list[float], most: float) -> Figure:
    ordered = sorted(seconds)
    value = f"{ordered[len(ordered) // 2]:.1f} s, worst {ordered[-1]:.1f} s"
    return Figure(what, value, f"at most {most:g} s", ordered[-1] <= most)
