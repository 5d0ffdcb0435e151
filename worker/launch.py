"""`gridfarm-worker`: one process per GPU, restarted when it dies.

The broker's death can end Celery's main process, so each worker process needs somebody who
starts it again; this file is that somebody and imports neither torch nor Celery itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import click

from common.errors import GridfarmError
from common.gpus import visible_gpus
from common.settings import load_settings

BACK_OFF_S = (1, 2, 5, 10, 30)
HEALTHY_AFTER_S = 60
GIVE_UP_AFTER = 5
"""Deaths in a row, each soon after the start: it will not live (a broken install, say)."""
USAGE, UNREACHABLE = 2, 3
"""Exit codes: wrong settings; broker or store away, which ends only the very first start."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--broker", help="redis:// or rediss:// URL  [env: GRIDFARM_BROKER]")
@click.option("--store", help="s3://bucket/prefix or a folder  [env: GRIDFARM_STORE]")
@click.option("--workers", type=click.IntRange(1), help="Processes; default one per GPU, else one.")
@click.option(
    "--threads",
    default=3,
    show_default=True,
    type=click.IntRange(1, 32),
    help="Jobs in hand per process; one computes, the others fetch and upload.",
)
@click.option("--cpu-threads", type=click.IntRange(1), help="Threads of torch on a CPU.")
@click.option(
    "--gpu", default="", help="The pool's GPU type (l4, a100): also takes batches pinned to it."
)
@click.option("--device", help="cuda, mps or cpu; default the best there is.")
@click.pass_context
def main(
    context: click.Context,
    broker: str | None,
    store: str | None,
    workers: int | None,
    threads: int,
    cpu_threads: int | None,
    gpu: str,
    device: str | None,
) -> None:
    """Render gridfarm's cells on this machine until it is told to stop (Ctrl-C, SIGTERM)."""
    if context.invoked_subcommand:
        return
    try:
        settings = load_settings({"broker": broker, "store": store})
        settings.need_broker(), settings.need_store()
    except GridfarmError as error:
        raise _click_error(error) from error
    environment = {"GRIDFARM_BROKER": settings.broker, "GRIDFARM_STORE": settings.store}
    arguments = [f"--threads={threads}", f"--gpu={gpu}"]
    arguments += [f"--cpu-threads={cpu_threads}"] if cpu_threads else []
    arguments += [f"--device={device}"] if device else []
    gpus = visible_gpus() if not device or device.startswith("cuda") else []
    slots = [
        Slot(arguments, environment | _pin(gpus, number))
        for number in range(workers or len(gpus) or 1)
    ]
    sys.exit(Launcher(slots).run())


@main.command("build-tiny")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def build_tiny(folder: Path) -> None:
    """Write the tiny SDXL as FOLDER/base, FOLDER/refiner and a LoRA FOLDER/wrong.safetensors."""
    from worker.tiny import build

    build(folder)
    click.echo(f"{folder}/base, {folder}/refiner, {folder}/wrong.safetensors")


@main.command("process", hidden=True)
@click.option("--threads", type=int)
@click.option("--cpu-threads", type=int)
@click.option("--gpu", default="")
@click.option("--device")
def process(threads: int, cpu_threads: int | None, gpu: str, device: str | None) -> None:
    """One worker process; what the launcher starts."""
    from worker.process import ProcessOptions
    from worker.process import main as run_process

    options = ProcessOptions(threads=threads, cpu_threads=cpu_threads, gpu=gpu, device=device)
    sys.exit(run_process(load_settings({}), options))


def _pin(gpus: list[str], number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}


def _click_error(error: GridfarmError) -> click.ClickException:
    problem = click.ClickException(
        f"{error.message}\n  {error.hint}" if error.hint else error.message
    )
    problem.exit_code = error.exit_code
    return problem


@dataclass
class Slot:
    """A place for one process: how it is started, and how often it died in a row."""

    arguments: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    start_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        command = [sys.executable, "-m", "worker.launch", "process", *self.arguments]
        # A session of its own: Ctrl-C in the terminal reaches the launcher alone, which
        # passes it on once.
        self.process = subprocess.Popen(
            command, env=os.environ | self.environment, start_new_session=True
        )
        self.started = time.monotonic()

    def died(self, code: int) -> None:
        lived = time.monotonic() - self.started
        self.deaths = 1 if lived > HEALTHY_AFTER_S else self.deaths + 1
        pause = BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        click.echo(f"worker process ended with {code}; starting another in {pause} s", err=True)
        self.process = None
        self.start_at = time.monotonic() + pause


class Launcher:
    """Starts the slots' processes, restarts those that die, passes signals on."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.stopping = 0
        """The signal that ends it, passed on to the processes."""

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        code = 0
        while not self.stopping and code == 0:
            code = max(self._look_after(slot) for slot in self.slots)
            time.sleep(0.2)
        self._end_all()
        return code

    def _look_after(self, slot: Slot) -> int:
        """Start or restart what is due; a code other than 0 ends the launcher."""
        if slot.process is None:
            if time.monotonic() >= slot.start_at:
                slot.start()
            return 0
        code = slot.process.poll()
        if code is None or self.stopping:
            return 0
        if code == USAGE or (code == UNREACHABLE and slot.deaths == 0):
            return code
        slot.died(code)
        return 1 if slot.deaths >= GIVE_UP_AFTER and code != UNREACHABLE else 0

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = number

    def _end_all(self) -> None:
        running = [slot.process for slot in self.slots if slot.process]
        for process in running:
            if process.poll() is None:
                process.send_signal(self.stopping or signal.SIGTERM)
        for process in running:
            process.wait()


if __name__ == "__main__":
    main()
