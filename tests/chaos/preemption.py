"""From a notice that a machine goes to its cells in other hands.

Two workers at a time, each cell a hundred seconds long, so that none fits into a notice. One has
three cells, one on its GPU and two behind it, and is told to go; the other listens. When it has
all three, another worker is started, and it is the next to go.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.figures import Figure
from tests.support.clouds import CloudStub
from tests.support.pool import Pool
from tests.support.servers import valkey

RUNS = 10
STEP_S = 0.2
CELLS = 3
NOTICE_S = 20.0
CLOUDS = ("aws", "gcp", "azure")
CAUSES = (*CLOUDS, "SIGTERM", "second SIGTERM", "SIGINT")
BACK_WITHIN_S = 1 + STEP_S
TAKEN_WITHIN_S = 5.0
LOOK_S = 0.005


@dataclass
class Times:
    """Seconds from each notice until all cells were back on the queue, and until all were in
    the other worker's hands."""

    back: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)


@dataclass
class Going:
    """A worker that will go for `cause`."""

    name: str
    cause: str
    launcher: subprocess.Popen[bytes]
    cloud: CloudStub | None

    def goes(self) -> float:
        """Tell it; when that was (time.monotonic())."""
        if self.cause == "second SIGTERM":
            self.launcher.terminate()
            time.sleep(1.5)
        told = time.monotonic()
        if self.cloud:
            self.cloud.take_away(seconds=NOTICE_S)
        else:
            self.launcher.send_signal(signal.SIGINT if self.cause == "SIGINT" else signal.SIGTERM)
        return told


class Relay:
    """`pool` has one batch of CELLS cells, which go from worker to worker."""

    def __init__(self, pool: Pool, stack: ExitStack) -> None:
        self.pool = pool
        self.stack = stack
        self.times = {cause: Times() for cause in CAUSES}
        self.started = 0

    def run(self) -> None:
        self.pool.submit(CELLS)
        causes = CAUSES * RUNS
        going = self._start(causes[0])
        for n, cause in enumerate(causes):
            self.pool.eventually(lambda going=going: self._renders(going.name))
            staying = self._start(causes[(n + 1) % len(causes)])
            self._hand_over(going, staying, self.times[cause])
            going = staying

    def _start(self, cause: str) -> Going:
        """A first SIGTERM leaves a cell time to be finished where a second one is to come."""
        self.started += 1
        name = f"w{self.started:03}"
        cloud = self.stack.enter_context(CloudStub(cause)) if cause in CLOUDS else None
        launcher = self.pool.start(
            name,
            "--launcher=1",
            "--steps=500",
            f"--ms-per-step={STEP_S * 1000:g}",
            f"--grace={1000 if cause == 'second SIGTERM' else NOTICE_S}",
            *([f"--cloud={cause}", f"--metadata-url={cloud.url}"] if cloud else []),
        )
        self.pool.listens(name)
        return Going(name, cause, launcher, cloud)

    def _renders(self, name: str) -> bool:
        return len(self.pool.held_by(f"{name}-")) == CELLS and name in str(self.pool.charges())

    def _hand_over(self, going: Going, staying: Going, times: Times) -> None:
        told = going.goes()
        self._until(lambda: self._is_back(going.name), told, times.back)
        self._until(lambda: len(self.pool.held_by(f"{staying.name}-")) == CELLS, told, times.taken)
        going.launcher.wait(60)

    def _is_back(self, name: str) -> bool:
        """What was handed back waits in `again` until it is pushed onto the queue."""
        waiting = self.pool.ledger.redis.zcard(f"gridfarm:batch:{self.pool.batch.id}:again")
        return not self.pool.held_by(f"{name}-") and not waiting

    def _until(self, happens: Callable[[], bool], told: float, times: list[float]) -> None:
        while not happens():
            assert time.monotonic() < told + 60, self.pool.log(f"w{self.started:03}")
            time.sleep(LOOK_S)
        times.append(time.monotonic() - told)


def figures(folder: Path) -> Iterator[Figure]:
    with valkey(folder / "broker") as broker, ExitStack() as stack:
        pool = Pool(broker.url, folder)
        stack.callback(pool.end)
        relay = Relay(pool, stack)
        relay.run()
    yield Figure("renderer; runs for each cause", f"stub, {STEP_S:g} s a step; {RUNS}")
    for cause, times in relay.times.items():
        yield _figure(f"{cause}: cells back on the queue", times.back, BACK_WITHIN_S)
        yield _figure(f"{cause}: cells in another's hands", times.taken, TAKEN_WITHIN_S)


def _figure(what: str, seconds: list[float], most: float) -> Figure:
    value = f"median {statistics.median(seconds):.2f}, worst {max(seconds):.2f} s"
    return Figure(what, value, f"at most {most:g} s", max(seconds) <= most)
