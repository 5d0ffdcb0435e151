"""A farm that draws with the tiny SDXL: a broker, a store, two worker processes, and `gridfarm`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from common.store import Store, object_names, open_store
from producer.cli.main import run

WORKERS = 2


@dataclass
class TinyFarm:
    """`settings` are the GRIDFARM_* and AWS_* that a person would have in the environment; `log`
    is what the workers say."""

    settings: Mapping[str, str]
    folder: Path

    @property
    def broker(self) -> str:
        return self.settings["GRIDFARM_BROKER"]

    @cached_property
    def store(self) -> Store:
        """As whoever asks first may read it."""
        return open_store(self.settings["GRIDFARM_STORE"])

    @property
    def log(self) -> Path:
        return self.folder / "workers.log"

    def gridfarm(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json in `folder`; the last that it prints, when it ends with
        `code`."""
        out, err = StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            ended = run([*arguments, "--json"])
        assert ended == code, out.getvalue() + err.getvalue()
        assert "Traceback" not in err.getvalue()
        lines = out.getvalue().splitlines()
        return json.loads(lines[-1]) if lines else None

    def write(self, name: str, **content: Any) -> str:
        """The path of a batch file for the tiny model."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "model": "tiny", **content}, sort_keys=False))
        return str(path)

    def renders(self) -> Counter[str]:
        """`<batch> #<i>` → how often a worker rendered it."""
        lines = self.log.read_text().splitlines()
        return Counter(" ".join(line.split()[1:3]) for line in lines if " rendered in " in line)

    def rendered(self, batch: str) -> int:
        """How many renders there were of a batch's cells."""
        return sum(n for cell, n in self.renders().items() if cell.split()[0] == batch)

    def listening(self) -> set[str]:
        """Names of the worker processes that take work."""
        lines = self.log.read_text().splitlines()
        listens = (line.partition(" listens on ") for line in lines)
        return {before.split()[-1] for before, found, _ in listens if found}

    def wait_until_over(self, batch: str) -> None:
        """Done, with a picture or a failure for each cell; the workers say so in the store."""
        eventually(lambda: not self.store.exists(object_names.active(batch)))


def eventually(happens: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def tiny_farm(folder: Path, settings: Mapping[str, str]) -> Iterator[TinyFarm]:
    """With workers that start: they listen some seconds later."""
    farm = TinyFarm(settings, folder)
    command = [sys.executable, "-m", "worker.cli", f"--workers={WORKERS}", "--cpu-threads=1"]
    with farm.log.open("wb") as out:
        workers = subprocess.Popen(
            command, env=os.environ | settings, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield farm
    finally:
        workers.send_signal(signal.SIGTERM)
        workers.wait(60)
