"""One worker process: a renderer, two timers (heart and dispatcher), and Celery's consumer.

Started by `worker.launch`, one per GPU. Ends with RESTART when it wants to be started afresh.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from common.dispatch import Dispatcher
from common.errors import GridfarmError
from common.ledger import Ledger, WorkerReport
from common.queue import TASK_NAME, celery_app, queue_name
from common.settings import FarmSettings
from common.store import open_store
from worker.downloads import Downloads
from worker.leases import LeaseKeeper
from worker.tasks import CellTask, Identity

log = logging.getLogger(__name__)

RESTART = 75
TICK_S = 2.0
ALIVE_MS = 15_000


@dataclass(frozen=True)
class ProcessOptions:
    """`cpu_threads` None leaves torch's own choice; `gpu` is the pool's GPU type (`l4`)."""

    threads: int = 3
    cpu_threads: int | None = None
    gpu: str = ""
    device: str | None = None


class Every(threading.Thread):
    """Does `work` every two seconds, jittered, and goes on whatever happens in it."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._trouble = ""
        self._closing = threading.Event()

    def close(self) -> None:
        self._closing.set()

    def run(self) -> None:
        while not self._closing.is_set():
            self._once()
            self._closing.wait(TICK_S * random.uniform(0.75, 1.25))

    def _once(self) -> None:
        try:
            self._work()
            self._trouble = ""
        except GridfarmError as error:
            if error.message != self._trouble:
                log.warning("%s", error.message)
            self._trouble = error.message
        except Exception:
            log.exception("%s failed; it goes on", self.name)


class Heart:
    """Says that this process lives and what it does. It beats in a thread that never asks the
    store, so that a worker that is paused for the store's sake can say so."""

    def __init__(self, task: CellTask, report: WorkerReport) -> None:
        self.task = task
        self.report = report
        self._began = ("", 0.0)
        self._launcher = os.getppid()

    def beat(self) -> None:
        if os.getppid() != self._launcher:
            log.warning("the launcher is gone; ending")
            self._launcher = os.getppid()
            os.kill(os.getpid(), signal.SIGINT)
        state, message = self._state()
        if state != self._began[0]:
            self._began = (state, time.time())
        said = self.report.__dict__ | {"state": state, "message": message, "since": self._began[1]}
        self.task.ledger.beat(WorkerReport(**said), ttl_ms=ALIVE_MS)

    def _state(self) -> tuple[str, str]:
        if self.task.paused:
            return "paused", self.task.paused
        state, message = self.task.phase
        if state == "loading":
            message = f"{message} onto {self.report.device}"
        if state:
            return state, message
        return ("rendering" if self.task.leases.held else "listening"), ""


def run(settings: FarmSettings, options: ProcessOptions) -> int:
    """Listen until a signal ends it; the exit code."""
    store = open_store(settings.need_store())
    store.probe()
    ledger = Ledger(settings.need_broker())
    ledger.ping()

    from worker.assets import Assets
    from worker.render import Renderer

    downloads = Downloads()
    assets = Assets(store, settings.cache_dir, downloads=downloads)
    renderer = Renderer(assets, device=options.device, cpu_threads=options.cpu_threads)
    queues = _queues(renderer.device, options.gpu)
    identity = _identity()
    leases = LeaseKeeper(ledger, identity.worker)
    wants_restart = threading.Event()

    def restart() -> None:
        wants_restart.set()
        os.kill(os.getpid(), signal.SIGTERM)

    dispatcher = Dispatcher(store, ledger, queues)
    task = CellTask(
        identity,
        store,
        ledger,
        dispatcher,
        renderer,
        leases,
        restart=restart,
        downloads=downloads,
    )
    report = WorkerReport(
        identity.worker, identity.machine, queues, options.threads, renderer.device_name, "starting"
    )
    leases.start()
    heart = Heart(task, report)
    heart.beat()  # before the first feed, whose window counts this worker's threads
    threads = [Every("heart", heart.beat), Every("dispatcher", dispatcher.tick)]
    for thread in threads:
        thread.start()
    log.info("%s listens on %s, %s", identity.worker, ", ".join(queues), renderer.device_name)
    try:
        _consume(settings.need_broker(), task, queues, options.threads)
    finally:
        for thread in threads:
            thread.close()
        leases.close()
        _say_goodbye(ledger, identity.worker)
    return RESTART if wants_restart.is_set() else 0


def _consume(broker: str, task: CellTask, queues: tuple[str, ...], threads: int) -> None:
    from celery.signals import worker_shutting_down

    app = celery_app(broker)

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def render_cell(batch_id: str, i: int, generation: int) -> None:
        task(batch_id, i, generation)

    def shutting_down(sig: str, **_: object) -> None:
        """SIGTERM finishes the running cells; SIGINT, a person's Ctrl-C, hands them back."""
        if sig == "SIGINT":
            task.hand_back_all()
        else:
            task.close()

    worker_shutting_down.connect(shutting_down, weak=False)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=threads",
            f"--concurrency={threads}",
            f"--queues={','.join(queues)}",
            f"--hostname={task.identity.worker}",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _queues(device: str, gpu: str) -> tuple[str, ...]:
    kinds = ["", *(["cuda"] if device.startswith("cuda") else []), *([gpu] if gpu else [])]
    return tuple(queue_name(kind) for kind in kinds)


def _identity() -> Identity:
    machine = socket.gethostname()
    return Identity(f"{machine}-{os.getpid()}-{secrets.token_hex(2)}", machine)


def _say_goodbye(ledger: Ledger, worker: str) -> None:
    try:
        ledger.leave(worker)
    except GridfarmError as error:
        log.debug("not signed off: %s", error)


def _set_up_logging() -> None:
    """One line per job on stderr; Celery and transformers only where something is wrong."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("worker").setLevel(logging.INFO)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Containers run as root; the queue carries JSON only, which is what the warning is about.
    warnings.filterwarnings("ignore", message=".*superuser privileges")


def main(settings: FarmSettings, options: ProcessOptions) -> int:
    _set_up_logging()
    try:
        return run(settings, options)
    except GridfarmError as error:
        log.error("%s", error.message)
        if error.hint:
            log.error("  %s", error.hint)
        return error.exit_code
