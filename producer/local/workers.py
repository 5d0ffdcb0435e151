"""The workers of a render on this machine: a launcher and its processes, ended with the render."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import lifeline
from common.errors import GridfarmError
from common.gpus import visible_gpus
from producer.wording import how_ended

#: The module that is run as these workers' launcher, and its first arguments.
WORKER = ("worker.cli",)
END_S = 60
LOG_LINES = 15


@dataclass
class LocalWorkers:
    """The launcher of this machine's workers; its output goes to `log`."""

    log: Path
    #: How many processes there are to be.
    count: int = 0
    _launcher: subprocess.Popen[bytes] | None = None

    def start(self, broker: str, store_url: str, cache: str, workers: int | None) -> None:
        """`workers` processes, by default one per GPU, else one; the CPU's cores are shared."""
        self.count = workers or len(visible_gpus()) or 1
        command = [*WORKER, f"--workers={self.count}"]
        if not visible_gpus():
            command += [f"--cpu-threads={max(1, (os.cpu_count() or 1) // self.count)}"]
        servers = {
            "GRIDFARM_BROKER": broker,
            "GRIDFARM_STORE": store_url,
            "GRIDFARM_CACHE": cache,
        }
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self._launcher = lifeline.start(
                *command, environment=os.environ | servers, output=output
            )

    def check(self) -> None:
        """Raises GridfarmError when the launcher has ended by itself."""
        code = self._launcher.poll() if self._launcher else None
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise GridfarmError(
                f"the workers ended ({how_ended(code)}):\n{tail}",
                hint=f"the whole log is {self.log}",
            )

    def end(self, number: int) -> None:
        """Tell the workers to end: SIGTERM finishes what is on the GPU, SIGINT hands it back."""
        if self._launcher is None:
            return
        self._launcher.send_signal(number)
        try:
            self._launcher.wait(END_S)
        except subprocess.TimeoutExpired:
            self._launcher.kill()
            self._launcher.wait()
        finally:
            assert self._launcher.stdin
            self._launcher.stdin.close()


@contextmanager
def local_workers(
    broker: str, store_url: str, log: Path, *, workers: int | None, cache: str
) -> Iterator[LocalWorkers]:
    """Worker processes until the block ends. They finish what they have begun, and hand it back
    where the block raises."""
    local, ending = LocalWorkers(log), signal.SIGINT
    try:
        local.start(broker, store_url, cache, workers)
        yield local
        ending = signal.SIGTERM
    finally:
        local.end(ending)
