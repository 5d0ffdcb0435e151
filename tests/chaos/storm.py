"""Machines whose processes, network and broker die again and again while they render a batch.

Each machine is a launcher with one worker process; between them and the broker is a proxy. The
faults come in a shuffled order, each when a certain number of jobs has been rendered, so that
all of them happen before the batch is done. Nobody watches the batch: no producer runs.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.store import object_names
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import Valkey
from worker.supervisor import LEFT
from worker.supervisor.exit_codes import UNREACHABLE

LOOK_S = 0.2
PROCESS_STATE = re.compile(r"-(\d+)-[0-9a-f]{4} listens on|worker process ended")


@dataclass(frozen=True)
class Plan:
    """How much work and how many of each fault. `vanished` machines are killed with their
    launcher, as one that is gone; of `killed` processes only the launcher starts another.
    `first` and `last`: what part of the jobs is rendered when the faults begin and when all
    have happened."""

    jobs: int = 1_000
    machines: int = 4
    ms_per_step: int = 250
    killed: int = 26
    vanished: int = 6
    preempted: int = 10
    broker_killed: int = 5
    broker_away_s: tuple[float, float] = (0.5, 4.0)
    cut: int = 20
    wiped: int = 1
    first: float = 0.02
    last: float = 0.93
    most_s: float = 1_200

    @property
    def sigkills(self) -> int:
        return self.killed + self.vanished

    def faults(self, rng: random.Random) -> list[tuple[int, str]]:
        """What happens once so many jobs have been rendered, first to last."""
        names = ("killed", "vanished", "preempted", "broker_killed", "cut", "wiped")
        faults = [name for name in names for _ in range(getattr(self, name))]
        rng.shuffle(faults)
        when = range(int(self.jobs * self.first), int(self.jobs * self.last))
        times = sorted(rng.choices(when, k=len(faults)))
        return list(zip(times, faults, strict=True))


@dataclass
class Machine:
    """A launcher with one worker process."""

    name: str
    launcher: subprocess.Popen[bytes]
    log: Path

    @property
    def process(self) -> int | None:
        """The worker process' id, None where none listens now."""
        states = [state[1] for state in PROCESS_STATE.finditer(self.log.read_text())]
        return int(states[-1]) if states and states[-1] else None


class Storm:
    """Runs a batch under a plan's faults. `pool` talks to `broker` itself, its workers to it
    through `network`. `happened` counts the faults, `fallen` the launchers that found no broker
    at their start and ended, `unclean` those that ended otherwise than they were told."""

    def __init__(
        self, plan: Plan, pool: Pool, broker: Valkey, network: Proxy, rng: random.Random
    ) -> None:
        self.plan = plan
        self.pool = pool
        self.broker = broker
        self.network = network
        self.rng = rng
        self.machines: list[Machine] = []
        self.leaving: list[Machine] = []
        self.happened: Counter[str] = Counter()
        self.started = self.fallen = self.unclean = 0
        self.seconds = 0.0

    def run(self) -> None:
        """Until the batch is done, or for the plan's `most_s`."""
        self.pool.submit(self.plan.jobs)
        began = time.monotonic()
        for _ in range(self.plan.machines):
            self._start_machine()
        faults = self.plan.faults(self.rng)
        while not self.is_over and time.monotonic() < began + self.plan.most_s:
            self._replace_the_fallen()
            while faults and self._rendered() >= faults[0][0] and self._commit(faults[0][1]):
                self.happened[faults.pop(0)[1]] += 1
            time.sleep(LOOK_S)
        self.seconds = time.monotonic() - began
        self.unclean += sum(machine.launcher.wait(30) != LEFT for machine in self.leaving)

    @property
    def is_over(self) -> bool:
        """The batch's marker goes last, when its end has been written into the store."""
        return not self.pool.store.exists(object_names.active(self.pool.batch.id))

    @property
    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.pool.folder.glob("m*.log")))

    def _rendered(self) -> int:
        """How many different jobs were rendered, stored or not."""
        return len(set(re.findall(r" #(\d+) rendered in ", self.logs)))

    def _start_machine(self) -> None:
        self.started += 1
        name = f"m{self.started:03}"
        launcher = self.pool.start(
            name,
            "--launcher=1",
            "--back-off=0.2",
            "--grace=5",
            f"--ms-per-step={self.plan.ms_per_step}",
            broker=self.network.url(self.broker.url),
        )
        self.machines.append(Machine(name, launcher, self.pool.folder / f"{name}.log"))

    def _replace_the_fallen(self) -> None:
        """As Kubernetes or systemd would."""
        for machine in [one for one in self.machines if one.launcher.poll() is not None]:
            self.machines.remove(machine)
            self.fallen += 1
            self.unclean += machine.launcher.returncode != UNREACHABLE
            self._start_machine()

    def _commit(self, fault: str) -> bool:
        """False when there is nobody to do it to at the moment."""
        return bool(getattr(self, f"_{fault}")())

    def _victim(self) -> tuple[Machine, int] | None:
        """Any machine whose process listens, and that process."""
        listening = [(one, pid) for one in self.machines if (pid := one.process)]
        return self.rng.choice(listening) if listening else None

    def _killed(self) -> bool:
        victim = self._victim()
        return bool(victim) and _kill(victim[1])

    def _vanished(self) -> bool:
        if victim := self._victim():
            machine, pid = victim
            machine.launcher.kill()
            machine.launcher.wait()
            _kill(pid)
            self.machines.remove(machine)
            self._start_machine()
        return bool(victim)

    def _preempted(self) -> bool:
        if victim := self._victim():
            machine, _ = victim
            machine.launcher.terminate()
            self.machines.remove(machine)
            self.leaving.append(machine)
            self._start_machine()
        return bool(victim)

    def _broker_killed(self) -> bool:
        self.broker.kill()
        time.sleep(self.rng.uniform(*self.plan.broker_away_s))
        self.broker.start()
        return True

    def _cut(self) -> bool:
        return self.network.cut() > 0

    def _wiped(self) -> bool:
        return bool(self.pool.ledger.redis.flushall())


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
