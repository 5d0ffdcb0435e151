"""A worker process with a stub for a renderer: everything else is the real one.

    python -m tests.support.stub_worker --broker URL --store FOLDER --ms-per-step 50
    python -m tests.support.stub_worker --launcher 2 …      # two of them, and the real launcher

Its picture is made from the job's key alone (`stub_picture`), so a test can tell whether a cell
got the picture of another. Ends as any worker process does: SIGTERM, SIGINT, SIGKILL. Seeds
choose the jobs that go wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from PIL import Image

from common.config import load_config
from common.job import Job
from worker.logs import set_up_logging
from worker.preemption import Metadata, NoticeWatcher
from worker.process import main
from worker.supervisor import Launcher, ProcessOptions, Slot, slot

log = logging.getLogger("worker.stub")

NAME = "tests.support.stub_worker"


def stub_picture(job: Job) -> Image.Image:
    """The job's width and height, tiled with bytes that its key decides; never black."""
    seed = b"".join(hashlib.sha256(f"{job.key}{n}".encode()).digest() for n in range(6))
    tile = Image.frombytes("RGB", (8, 8), seed)
    return tile.resize((job.width, job.height), Image.Resampling.NEAREST)


@dataclass
class Drawn:
    image: Image.Image
    timings: dict[str, float]


@dataclass
class StubRenderer:
    """Renders by sleeping: `load_s` once, then `step_s` for each step and `decode_s`."""

    step_s: float = 0.05
    steps: int | None = None
    load_s: float = 0.0
    decode_s: float = 0.0
    stall: frozenset[int] = frozenset()
    crash: frozenset[int] = frozenset()
    fail: frozenset[int] = frozenset()
    fail_all: bool = False
    device: str = "cpu"
    device_name: str = "stub"
    gpu_log: Path | None = None
    _loaded: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, job: Job) -> None: ...

    def prepare(self, _: Job) -> None:
        if not self._loaded:
            time.sleep(self.load_s)
        self._loaded = True

    def render(self, job: Job, on_step: Callable[[int, int], None] | None = None) -> Drawn:
        began = time.monotonic()
        with self._lock:
            log.info("begins %s", job.key)
            total = self.steps or job.steps
            for done in range(1, total + 1):
                time.sleep(self.step_s)
                self._go_wrong(job)
                if on_step:
                    on_step(done, total)
            time.sleep(self.decode_s)
        drawn = Drawn(stub_picture(job), {"denoise": time.monotonic() - began})
        if self.gpu_log:
            with self.gpu_log.open("a") as times:
                times.write(f"{began} {time.monotonic()}\n")
        return drawn

    def _go_wrong(self, job: Job) -> None:
        if job.seed in self.crash:
            os._exit(137)
        if job.seed in self.stall:
            threading.Event().wait()
        if self.fail_all or job.seed in self.fail:
            raise RuntimeError("stub: device-side assert")

    def fingerprint(self, _: Job) -> dict[str, Any]:
        return {"device": "stub"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__)
    parser.add_argument("--broker", help="default: GRIDFARM_BROKER")
    parser.add_argument("--store", help="default: GRIDFARM_STORE")
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--gpu", default="")
    parser.add_argument("--machine", default="", help="a host's name, to play several of them")
    parser.add_argument("--ms-per-step", type=float, default=50)
    parser.add_argument("--steps", type=int, help="default: the job's")
    parser.add_argument("--load-ms", type=float, default=0)
    parser.add_argument("--decode-ms", type=float, default=0)
    for trouble in ("stall", "crash", "fail"):
        parser.add_argument(f"--{trouble}-seeds", type=int, nargs="*", default=[])
    parser.add_argument("--fail-all", action="store_true")
    parser.add_argument("--gpu-log", type=Path, help="add begin and end (time.monotonic()) of each")
    parser.add_argument("--grace", type=float)
    parser.add_argument("--stall", type=float)
    parser.add_argument("--log-format", default="text")
    parser.add_argument("--process-options", metavar="JSON", help="the launcher's, for those above")
    group = parser.add_argument_group("with the launcher")
    group.add_argument("--launcher", type=int, default=0, metavar="PROCESSES")
    group.add_argument("--cloud", default="none")
    group.add_argument("--metadata-url", default="")
    group.add_argument("--back-off", type=float, help="seconds before each restart")
    return parser.parse_args()


def _renderer(arguments: argparse.Namespace) -> StubRenderer:
    return StubRenderer(
        step_s=arguments.ms_per_step / 1000,
        steps=arguments.steps,
        load_s=arguments.load_ms / 1000,
        decode_s=arguments.decode_ms / 1000,
        stall=frozenset(arguments.stall_seeds),
        crash=frozenset(arguments.crash_seeds),
        fail=frozenset(arguments.fail_seeds),
        fail_all=arguments.fail_all,
        gpu_log=arguments.gpu_log,
    )


def _options(arguments: argparse.Namespace) -> ProcessOptions:
    """As the launcher gave them, else what of them is an argument of the stub's."""
    if arguments.process_options:
        return ProcessOptions.from_json(arguments.process_options)
    names = {field.name for field in fields(ProcessOptions)}
    return ProcessOptions(**{name: x for name, x in vars(arguments).items() if name in names})


def launch(arguments: argparse.Namespace) -> int:
    """The same arguments again for each process, and its options behind them."""
    set_up_logging(arguments.log_format)
    if arguments.back_off is not None:
        slot.BACK_OFF_S, slot.QUARANTINE_PAUSE_S = (arguments.back_off,), arguments.back_off
    command = (NAME, *sys.argv[1:], "--launcher=0", "--process-options")
    slots = [Slot(_options(arguments), {}, command) for _ in range(arguments.launcher)]
    watcher = None
    if arguments.metadata_url:
        watcher = NoticeWatcher(arguments.cloud, Metadata(arguments.metadata_url))
    return Launcher(slots, watcher=watcher, grace_s=arguments.grace).run()


def run() -> int:
    arguments = _arguments()
    if arguments.launcher:
        return launch(arguments)
    settings = load_config({"broker": arguments.broker, "store": arguments.store})
    return main(settings, _options(arguments), lambda *_: _renderer(arguments))


if __name__ == "__main__":
    sys.exit(run())
