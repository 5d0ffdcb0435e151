"""One worker process: a renderer, its threads, and Celery's consumer.

Started by `worker.supervisor`, one per GPU; `shutdown` has the ways it ends.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from common.config import FarmConfig
from common.dispatch import Dispatcher, Ledger, WorkerReport, queue_name
from common.errors import GridfarmError
from common.store import Store, open_store
from worker.assets import Assets, Downloads
from worker.logs import set_up_logging
from worker.preemption import default_grace
from worker.process.consumer import consume
from worker.process.heartbeat import Heartbeat, PeriodicThread
from worker.process.shutdown import Shutdown
from worker.supervisor import QUARANTINED, ProcessOptions
from worker.tasks import (
    CellTask,
    FailurePolicy,
    Gpu,
    Identity,
    InHand,
    LeaseKeeper,
    RendersJobs,
    StoreOutage,
    Watchdog,
)

log = logging.getLogger(__name__)


class Engine(RendersJobs, Protocol):
    """What a process needs of `worker.engine.Renderer`. `device` is torch's name of it."""

    device: str

    @property
    def device_name(self) -> str: ...


BuildEngine = Callable[[ProcessOptions, Assets], Engine]


class ClosableThread(Protocol):
    def start(self) -> None: ...
    def close(self) -> None: ...


def sdxl(options: ProcessOptions, assets: Assets) -> Engine:
    from worker.engine import Renderer

    # What is pinned to a GPU type must not be drawn on the CPU, for want of a torch for CUDA.
    device = options.device or ("cuda" if options.gpu else None)
    return Renderer(assets, device=device, cpu_threads=options.cpu_threads)


def main(config: FarmConfig, options: ProcessOptions, engine: BuildEngine = sdxl) -> int:
    """As `run`; expected errors become lines of the log and their exit code."""
    set_up_logging(options.log_format)
    try:
        return run(config, options, engine)
    except GridfarmError as error:
        log.error("%s", error.message)
        if error.hint:
            log.error("  %s", error.hint)
        return error.exit_code


def run(config: FarmConfig, options: ProcessOptions, engine: BuildEngine = sdxl) -> int:
    """Listen until a signal, a notice or trouble ends it; the exit code."""
    store, ledger = _connect(config)
    downloads = Downloads()
    renderer = engine(options, Assets(store, config.cache_dir, downloads=downloads))
    identity, queues = _identity(options.machine), _queues(renderer.device, options.gpu)
    leases = LeaseKeeper(ledger, identity.worker)
    dispatcher = Dispatcher(store, ledger, queues)
    in_hand = InHand(identity, store, ledger, dispatcher, leases, downloads=downloads)
    shutdown = Shutdown(default_grace() if options.grace is None else options.grace)
    watchdog = Watchdog(shutdown.stalled, device=renderer.device, stall_s=options.stall)
    task = _task(in_hand, watchdog, renderer, shutdown)
    report = _report(identity, queues, options.threads, renderer.device_name)
    heartbeat = Heartbeat(ledger, task, report)
    heartbeat.beat()  # before the first feed, whose window counts this worker's threads
    _prepare_end(shutdown, in_hand, heartbeat, launched=options.launched)
    timers = [
        PeriodicThread("heartbeat", heartbeat.look),
        PeriodicThread("store", task.outage.look),
        PeriodicThread("dispatcher", partial(_tick, dispatcher, task.outage)),
    ]
    with _running([leases, watchdog, *timers, shutdown]):
        log.info("%s listens on %s, %s", identity.worker, ", ".join(queues), renderer.device_name)
        task.outage.wait_for_farm_store()
        if not in_hand.closing.is_set():
            broker = config.need_broker()
            consume(broker, task, queues, worker=identity.worker, threads=options.threads)
    return shutdown.code


def _connect(config: FarmConfig) -> tuple[Store, Ledger]:
    """Both answer, and the store grants what a worker needs. Raises StoreError, BrokerError."""
    store = open_store(config.need_store())
    store.probe()
    ledger = Ledger(config.need_broker())
    ledger.broker.ping()
    return store, ledger


def _identity(machine: str) -> Identity:
    machine = machine or socket.gethostname()
    return Identity(f"{machine}-{os.getpid()}-{secrets.token_hex(2)}", machine)


def _queues(device: str, gpu: str) -> tuple[str, ...]:
    kinds = ["", *(["cuda"] if device.startswith("cuda") else []), *([gpu] if gpu else [])]
    return tuple(queue_name(kind) for kind in kinds)


def _task(
    in_hand: InHand, watchdog: Watchdog, renderer: RendersJobs, shutdown: Shutdown
) -> CellTask:
    policy = FailurePolicy(
        in_hand.identity,
        in_hand.ledger,
        in_hand.closing,
        restart=shutdown.restart,
        quarantine=shutdown.quarantine,
    )
    outage = StoreOutage(in_hand.dispatcher.farm_store, in_hand.closing)
    return CellTask(in_hand, Gpu(in_hand, watchdog), policy, outage, renderer)


def _report(
    identity: Identity, queues: tuple[str, ...], threads: int, device_name: str
) -> WorkerReport:
    return WorkerReport(identity.worker, identity.machine, queues, threads, device_name, "starting")


def _prepare_end(
    shutdown: Shutdown, in_hand: InHand, heartbeat: Heartbeat, *, launched: bool
) -> None:
    def deregister() -> None:
        heartbeat.deregister(quarantined=shutdown.code == QUARANTINED)

    shutdown.watch_over(in_hand, deregister=deregister)
    if launched:
        shutdown.listen_to_launcher()


def _tick(dispatcher: Dispatcher, outage: StoreOutage) -> float | None:
    """A worker whose store has trouble leaves the turns to those that can do what is due."""
    return None if outage.reason else dispatcher.tick()


@contextmanager
def _running(threads: Sequence[ClosableThread]) -> Iterator[None]:
    """Start them all, and close them in the same order."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.close()
