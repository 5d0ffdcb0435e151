"""Many idle workers in one process, for what they cost a broker: each makes the calls that a
worker process makes, at its own times, and takes no message.

    python -m tests.support.idle_workers --broker URL --store FOLDER --workers 250

Each has its own connection that waits at the queues as Celery's does; the others, which a worker
uses for microseconds, are shared.
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from kombu.transport.redis import Mutex, MutexHeld, Transport

from common.dispatch import Dispatcher, FarmStore, Ledger, WorkerReport, celery_app, queue_name
from common.store import open_store
from worker.process.heartbeat import Heartbeat, next_in

#: What a GPU worker listens to.
QUEUES = (queue_name(), queue_name("cuda"), queue_name("l4"))
THREADS = 4

Work = Callable[[], float | None]


class Waiting(threading.Thread):
    """Celery's BRPOP of each worker, again whenever it has run out."""

    def __init__(self, broker: str, workers: int) -> None:
        super().__init__(daemon=True)
        host, port = urlsplit(broker).hostname, urlsplit(broker).port
        self.ask = b"BRPOP " + " ".join((*QUEUES, f"{Transport.brpop_timeout}\r\n")).encode()
        self.ready = selectors.DefaultSelector()
        for _ in range(workers):
            connection = socket.create_connection((host, port))
            connection.sendall(self.ask)
            self.ready.register(connection, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self.ready.select():
                connection: Any = key.fileobj
                connection.recv(1 << 16)
                connection.sendall(self.ask)


class Restoring:
    """kombu's look for messages whose visibility time-out is over."""

    def __init__(self, ledger: Ledger) -> None:
        self.redis = ledger.redis
        self.options = celery_app(ledger.broker.url).conf.broker_transport_options

    def look(self) -> float:
        options = self.options
        try:
            with Mutex(self.redis, options["unacked_mutex_key"], options["unacked_mutex_expire"]):
                self.redis.zrange(options["unacked_index_key"], 0, 0, desc=True)
        except MutexHeld:
            pass
        return float(options["unacked_restore_interval"])


def idle_task(farm_store: FarmStore) -> Any:
    """A `CellTask` that has nothing in hand, as far as a heartbeat looks."""
    leases = SimpleNamespace(held=())
    in_hand = SimpleNamespace(notice=None, leases=leases)
    outage = SimpleNamespace(farm_store=farm_store, lasted_s=0.0)
    return SimpleNamespace(in_hand=in_hand, paused="", phase=("", ""), steps=(0, 0), outage=outage)


def timers(number: int, store_url: str, ledger: Ledger) -> list[Work]:
    name = f"idle-{number}"
    report = WorkerReport(name, name, QUEUES, THREADS, "NVIDIA L4", "starting")
    dispatcher = Dispatcher(open_store(store_url), ledger, QUEUES)
    heartbeat = Heartbeat(ledger, idle_task(dispatcher.farm_store), report)
    return [heartbeat.look, dispatcher.tick, Restoring(ledger).look]


def work_through(due: list[tuple[float, int, Work]]) -> None:
    """What is due, for ever."""
    count = len(due)
    while True:
        at, _, work = heapq.heappop(due)
        time.sleep(max(0.0, at - time.monotonic()))
        later = next_in(work())
        count += 1
        heapq.heappush(due, (max(at, time.monotonic() - 1) + later, count, work))


def main() -> None:
    parser = argparse.ArgumentParser()
    for option, kind in (("--broker", str), ("--store", str), ("--workers", int), ("--first", int)):
        parser.add_argument(option, type=kind, default=0 if kind is int else "")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.broker)
    due: list[tuple[float, int, Work]] = []
    for number in range(arguments.first, arguments.first + arguments.workers):
        for work in timers(number, arguments.store, ledger):
            due.append((time.monotonic() + random.uniform(0, 5), len(due), work))
    heapq.heapify(due)
    Waiting(arguments.broker, arguments.workers).start()
    for _ in range(3):
        threading.Thread(target=work_through, args=(due,), daemon=True).start()
    work_through(due)


if __name__ == "__main__":
    main()
