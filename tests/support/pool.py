"""Worker processes with a stub renderer (`stub_worker`) on one broker and one store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from common.batch import Batch, Matrix, RangeAxis
from common.dispatch import Ledger
from common.job import BUILTIN_MODELS
from common.store import Store, object_names, open_store
from producer.language.settings import DEFAULTS
from producer.submission import Resolved, submit
from tests.support.stub_worker import NAME as STUB
from tests.support.stub_worker import stub_picture


def stub_batch(cells: int, name: str = "spot", gpu: str | None = None) -> Batch:
    """`cells` seeds of one 64-px picture in two steps; another name is another prompt."""
    return Batch(
        name=name,
        settings=DEFAULTS | {"model": "tiny", "prompt": name, "steps": 2, "size": "64x64"},
        axes=(RangeAxis(name="seed", first="0", last=str(cells - 1)),),
        models=dict(BUILTIN_MODELS),
        gpu=gpu,
    )


class Pool:
    """`broker` and `store` are URLs; the store is `folder`/store unless given. Each worker's
    stderr is `folder`/NAME.log. `environment` is added to every worker's."""

    def __init__(
        self,
        broker: str,
        folder: Path,
        store: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.broker = broker
        self.folder = folder
        self.store_url = store or str(folder / "store")
        self.environment = dict(environment or {})
        self.store: Store = open_store(self.store_url)
        self.ledger = Ledger(broker)
        self.running: list[subprocess.Popen[bytes]] = []
        self.batch = stub_batch(1)

    def submit(self, cells: int, name: str = "spot", gpu: str | None = None) -> None:
        self.batch = stub_batch(cells, name, gpu)
        submit(Resolved(self.batch), self.store, self.ledger)

    def start(
        self, name: str, *arguments: str, broker: str = "", store: str = "", first: str = ""
    ) -> subprocess.Popen[bytes]:
        """A stub worker on a machine of that name, at other addresses where they are given.
        `first` is Python that its process runs before anything else."""
        run = f"{first}\nimport runpy; runpy.run_module({STUB!r}, run_name='__main__')"
        module = ("-c", run) if first else ("-m", STUB)
        command = [
            sys.executable, *module, f"--broker={broker or self.broker}",
            f"--store={store or self.store_url}", f"--machine={name}", *arguments,
        ]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                command,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.environment,
            )
        self.running.append(process)
        return process

    def end(self) -> None:
        """Every process that was started and still runs, frozen ones too."""
        for process in self.running:
            for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGINT):
                process.send_signal(number)
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    @property
    def last_words(self) -> str:
        logs = {path.stem: path.read_text() for path in sorted(self.folder.glob("*.log"))}
        return "\n".join(f"{name}: …{text[-1500:]}" for name, text in logs.items())

    def listens(self, name: str) -> None:
        self.eventually(lambda: " listens on " in self.log(name))

    def renders(self, name: str, waiting: int = 2) -> None:
        """Until it has a cell on the GPU and others behind it."""
        self.eventually(lambda: len(self.held_by(name)) > waiting and self.charges())

    def held_by(self, name: str) -> list[int]:
        held = self.ledger.redis.hgetall(f"gridfarm:batch:{self.batch.id}:holders")
        return [int(i) for i, worker in held.items() if worker.decode().startswith(name)]  # type: ignore[union-attr]

    def charges(self) -> dict[int, list[str]]:
        found = self.ledger.redis.hgetall(f"gridfarm:batch:{self.batch.id}:charges")
        return {int(i): machines for i, text in found.items() if (machines := json.loads(text))}  # type: ignore[union-attr]

    @property
    def counts(self) -> tuple[int, int]:
        seen = self.ledger.status(self.batch.id)
        assert seen
        return seen.done, seen.failed

    def eventually(self, happens: Callable[[], object], *, seconds: float = 40) -> float:
        """Seconds until it happened."""
        began = time.monotonic()
        while not happens():
            assert time.monotonic() < began + seconds, self.last_words
            time.sleep(0.02)
        return time.monotonic() - began

    def right_pictures(self) -> int:
        """How many cells are stored, each with the pixels of its own key. Raises AssertionError
        for a cell that has another's picture or what is no picture."""
        return sum(self._is_right(i) for i in Matrix(self.batch).numbers())

    def _is_right(self, i: int) -> bool:
        cell = Matrix(self.batch)[i]
        assert cell
        if not self.store.exists(object_names.picture(cell.key)):
            return False
        with Image.open(BytesIO(self.store.get(object_names.picture(cell.key)))) as stored:
            assert stored.convert("RGB").tobytes() == stub_picture(cell.job).tobytes(), cell
        return True
