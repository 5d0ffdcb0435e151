"""How long a GPU idles between jobs of 250 ms when a request to the store takes 100 ms and one
to the broker 20 ms. Store and broker are real servers behind a slow network
(tests/support/proxy.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from common.store import open_store
from tests.chaos.figures import Figure
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import Ministack, Valkey, ministack, valkey
from worker.cli import main

GPU = ["--steps=5", "--ms-per-step=50", "--gpu=l4"]
THREADS = next(option.default for option in main.params if option.name == "threads")
STORE_S = 0.1
BROKER_S = 0.02
WARM_UP = 10
CELLS = 240
#: For the comparison with other numbers of threads.
FEWER = 50
#: Percent.
MOST_IDLE = 1.0


@dataclass
class Place:
    """One broker and one store, near by for the tests and far away for the worker."""

    broker: Valkey
    far_broker: Proxy
    s3: Ministack
    far_s3: Proxy
    folder: Path

    def idle(self, cells: int, threads: int, *, near: bool = False) -> float:
        """Percent of the time from the first job after the warm-up to the last; `near` without
        the slow network."""
        name = f"{cells}-{threads}{'-near' if near else ''}"
        folder = self.folder / name
        folder.mkdir()
        pool = Pool(
            self.broker.url,
            folder,
            f"s3://{self.s3.bucket}/{name}",
            {} if near else {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.far_s3.port}"},
        )
        pool.submit(cells)
        times = folder / "gpu"
        broker = self.broker.url if near else self.far_broker.url(self.broker.url)
        try:
            pool.start("w", *GPU, f"--gpu-log={times}", f"--threads={threads}", broker=broker)
            pool.eventually(lambda: sum(pool.counts) == cells, seconds=30 + 2 * cells)
        finally:
            pool.end()
        assert pool.right_pictures() == cells
        return 100 * idle_share(times.read_text())


def gaps(text: str) -> list[float]:
    """Seconds between one job on the GPU and the next, of lines "begin end"."""
    jobs = _jobs(text)
    return [begin - end for (_, end), (begin, _) in pairwise(jobs)]


def idle_share(text: str) -> float:
    """0…1, of lines "begin end" in seconds."""
    jobs = _jobs(text)
    return sum(gaps(text)) / (jobs[-1][1] - jobs[0][0])


def _jobs(text: str) -> list[tuple[float, float]]:
    jobs = (map(float, line.split()) for line in text.splitlines())
    return sorted((begin, end) for begin, end in jobs)[WARM_UP:]


def put_s(network: Proxy, s3: Ministack) -> float:
    """Seconds that the PUT of a picture takes, on a connection that is open."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{network.port}")
        store = open_store(f"s3://{s3.bucket}/put")
    store.put("picture.png", bytes(20_000))
    began = time.monotonic()
    for _ in range(10):
        store.put("picture.png", bytes(20_000))
    return (time.monotonic() - began) / 10


def figures(folder: Path) -> Iterator[Figure]:
    with ExitStack() as stack:
        broker = stack.enter_context(valkey(folder / "broker"))
        s3 = stack.enter_context(ministack(folder / "s3"))
        far_broker = stack.enter_context(Proxy(broker.port, latency_s=BROKER_S / 2))
        far_s3 = stack.enter_context(Proxy(s3.port, latency_s=STORE_S / 2))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in s3.environment.items():
            environment.setenv(name, value)
        took = put_s(far_s3, s3)
        yield Figure("a request to the store takes", f"{took * 1000:.0f} ms", "at least 100 ms",
                     took >= STORE_S)  # fmt: skip
        place = Place(broker, far_broker, s3, far_s3, folder)
        idle = place.idle(CELLS, THREADS)
        yield Figure(f"GPU idle, {THREADS} threads (default), {CELLS} cells", f"{idle:.2f} %",
                     f"at most {MOST_IDLE:g} %", idle <= MOST_IDLE)  # fmt: skip
        near = place.idle(FEWER, THREADS, near=True)
        yield Figure(f"GPU idle, {THREADS} threads, store and broker near by", f"{near:.2f} %")
        for threads in range(1, 6):
            what = "1 thread (inline)" if threads == 1 else f"{threads} threads"
            yield Figure(f"GPU idle, {what}, {FEWER} cells", f"{place.idle(FEWER, threads):.2f} %")
