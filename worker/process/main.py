"""One worker process: a renderer, two timers (heart and dispatcher), and Celery's consumer.

Started by `worker.supervisor`, one per GPU; `shutdown` has the ways it ends.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from common.config import FarmConfig
from common.dispatch import TASK_NAME, Dispatcher, Ledger, WorkerReport, celery_app, queue_name
from common.errors import GridfarmError
from common.store import open_store
from worker.assets import Assets, Downloads
from worker.logs import set_up_logging
from worker.preemption import default_grace
from worker.process.shutdown import Departure
from worker.process.transport import TRANSPORT
from worker.supervisor import UNFIT
from worker.tasks import CellTask, Identity, LeaseKeeper, Leaving, RendersJobs, Watchdog

log = logging.getLogger(__name__)

TICK_S = 2.0
ALIVE_MS = 15_000
#: How long a worker that took itself out is still seen, with the reason.
UNFIT_SHOWN_MS = 600_000


@dataclass(frozen=True)
class ProcessOptions:
    """`cpu_threads` None leaves torch's own choice; `gpu` is the pool's GPU type (`l4`); `grace`
    is how many seconds SIGTERM leaves, and `stall` how long a render may stand still, None as
    measured. `machine` is the host's name unless given. A process that is `launched` hears from
    its launcher on stdin."""

    threads: int = 4
    cpu_threads: int | None = None
    gpu: str = ""
    device: str | None = None
    grace: float | None = None
    stall: float | None = None
    machine: str = ""
    log_format: str = "text"
    launched: bool = False


class Engine(RendersJobs, Protocol):
    """What a process needs of `worker.engine.renderer.Renderer`. `device` is torch's name of it."""

    device: str

    @property
    def device_name(self) -> str: ...


def sdxl(options: ProcessOptions, assets: Assets) -> Engine:
    from worker.engine import Renderer

    return Renderer(assets, device=options.device, cpu_threads=options.cpu_threads)


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

    def beat(self, ttl_ms: int = ALIVE_MS) -> None:
        if os.getppid() != self._launcher:
            log.warning("the launcher is gone; ending")
            self._launcher = os.getppid()
            os.kill(os.getpid(), signal.SIGINT)
        state, message = self._state()
        if state != self._began[0]:
            self._began = (state, time.monotonic())
        lasts_s = time.monotonic() - self._began[1]
        if state == "paused":
            lasts_s += self.task.pause.lasted_s
        said = replace(self.report, state=state, message=message, lasts_s=lasts_s)
        self.task.ledger.workers.heartbeat(said, ttl_ms=ttl_ms)

    def _state(self) -> tuple[str, str]:
        if self.task.paused:
            return "paused", self.task.paused
        if self.task.notice:
            return "leaving", self.task.notice.source
        state, message = self.task.phase
        if state == "loading":
            message = f"{message} onto {self.report.device}"
        if state:
            return state, message
        return ("rendering" if self.task.leases.held else "listening"), ""


def run(
    config: FarmConfig,
    options: ProcessOptions,
    engine: Callable[[ProcessOptions, Assets], Engine] = sdxl,
) -> int:
    """Listen until a signal, a notice or trouble ends it; the exit code."""
    store = open_store(config.need_store())
    store.probe()
    ledger = Ledger(config.need_broker())
    ledger.broker.ping()
    downloads = Downloads()
    renderer = engine(options, Assets(store, config.cache_dir, downloads=downloads))
    queues = _queues(renderer.device, options.gpu)
    identity = _identity(options.machine)
    leases = LeaseKeeper(ledger, identity.worker)
    dispatcher = Dispatcher(store, ledger, queues)
    departure = Departure(default_grace() if options.grace is None else options.grace)
    watchdog = Watchdog(departure.stalled, device=renderer.device, stall_s=options.stall)
    task = CellTask(
        identity,
        store,
        ledger,
        dispatcher,
        renderer,
        leases,
        restart=departure.restart,
        unfit=departure.unfit,
        watchdog=watchdog,
        downloads=downloads,
    )
    report = WorkerReport(
        identity.worker, identity.machine, queues, options.threads, renderer.device_name, "starting"
    )
    heart = Heart(task, report)
    heart.beat()  # before the first feed, whose window counts this worker's threads
    timers = [Every("heart", heart.beat), Every("dispatcher", dispatcher.tick)]
    departure.watch_over(task, goodbye=lambda: _say_goodbye(heart, departure.code))
    if options.launched:
        departure.listen_to_launcher()
    threads: list[LeaseKeeper | Watchdog | Every] = [leases, watchdog, *timers]
    for thread in (*threads, departure):
        thread.start()
    log.info("%s listens on %s, %s", identity.worker, ", ".join(queues), renderer.device_name)
    try:
        _consume(config.need_broker(), task, queues, options.threads)
    finally:
        for thread in threads:
            thread.close()
        departure.close()
    return departure.code


def _consume(broker: str, task: CellTask, queues: tuple[str, ...], threads: int) -> None:
    """Until `Departure` stops it. Celery's own signal handlers stay out: its second SIGINT
    drops what is running."""
    from celery.exceptions import Reject

    app = celery_app(broker)
    app.conf.broker_transport = TRANSPORT

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def render_cell(batch_id: str, i: int, generation: int) -> None:
        try:
            task(batch_id, i, generation)
        except Leaving:
            raise Reject(requeue=True) from None

    class Consumer(app.Worker):  # type: ignore[misc, name-defined]
        def install_platform_tweaks(self, _: object) -> None: ...

    Consumer(
        pool="threads",
        concurrency=threads,
        queues=list(queues),
        hostname=task.identity.worker,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    ).start()


def _queues(device: str, gpu: str) -> tuple[str, ...]:
    kinds = ["", *(["cuda"] if device.startswith("cuda") else []), *([gpu] if gpu else [])]
    return tuple(queue_name(kind) for kind in kinds)


def _identity(machine: str) -> Identity:
    machine = machine or socket.gethostname()
    return Identity(f"{machine}-{os.getpid()}-{secrets.token_hex(2)}", machine)


def _say_goodbye(heart: Heart, code: int) -> None:
    """One that took itself out is still seen for a while, and why."""
    try:
        if code == UNFIT:
            heart.beat(ttl_ms=UNFIT_SHOWN_MS)
        else:
            heart.task.ledger.workers.leave(heart.report.name)
    except GridfarmError as error:
        log.debug("not signed off: %s", error)


def main(
    config: FarmConfig,
    options: ProcessOptions,
    engine: Callable[[ProcessOptions, Assets], Engine] = sdxl,
) -> int:
    set_up_logging(options.log_format)
    try:
        return run(config, options, engine)
    except GridfarmError as error:
        log.error("%s", error.message)
        if error.hint:
            log.error("  %s", error.hint)
        return error.exit_code
