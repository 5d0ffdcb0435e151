"""Stores with many batches: what the commands take that look at all of them.

The batches lie there as versions before the index left them, so the first `list` and the first
`rm` show what it costs to make one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.batch import Matrix
from common.dispatch import Control, bitmap_of, write_control
from common.store import Store, object_names, open_store
from tests.chaos.figures import Figure
from tests.support.pool import stub_batch
from tests.support.servers import ministack, valkey

SIZES = (1_000, 10_000)
CELLS = 20
WRITERS = 16
LIMIT_S = 5.0
FILE = f"name: newest\nmodel: tiny\nprompts: [a comet]\nseeds: 1..{CELLS}\n"


def figures(folder: Path) -> Iterator[Figure]:
    (folder / "newest.yaml").write_text(FILE)
    with valkey(folder / "broker") as broker, ministack(folder / "s3") as s3:
        settings = {"GRIDFARM_BROKER": broker.url, "GRIDFARM_CACHE": str(folder / "cache")}
        with environment(settings | s3.environment):
            for size in SIZES:
                for url in (str(folder / f"store-{size}"), f"s3://{s3.bucket}/{size}"):
                    fill(open_store(url), size)
                    yield from commands(url, size, folder / "newest.yaml")


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Of this process and of those that it starts; other parts have another."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fill(store: Store, size: int) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda number: put_old(store, number), range(size)))


def put_old(store: Store, number: int) -> None:
    """A batch that is done, with the pictures of every hundredth."""
    batch = stub_batch(CELLS, f"b{number}")
    store.put(object_names.batch(batch.id), batch.to_bytes())
    store.put(object_names.done_bitmap(batch.id), bitmap_of(range(CELLS), CELLS))
    store.put(object_names.cells(batch.id), b"{}\n" * CELLS)
    write_control(store, batch.id, Control(state="done", submitted=1e9 + number))
    if number % 100 == 0:
        for cell in Matrix(batch):
            store.put(object_names.picture(cell.key), b"\x89PNG\r\n\x1a\n")


def commands(url: str, size: int, file: Path) -> Iterator[Figure]:
    where = f"{size:,} batches, {'S3' if '://' in url else 'a folder'}: "
    yield figure(f"{where}list, the first time", url, "list", limit=0)
    yield figure(f"{where}rm, the first time", url, "rm", "b0", "--yes", limit=0)
    yield figure(f"{where}list", url, "list")
    yield figure(f"{where}status, by its name", url, "status", "b100")
    yield figure(f"{where}submit", url, "submit", str(file))
    yield figure(f"{where}rm, of it", url, "rm", "@last", "--yes", "--cancel")
    yield figure(f"{where}rm, of an old one", url, "rm", "b100", "--yes")


def figure(what: str, url: str, *arguments: str, limit: float = LIMIT_S) -> Figure:
    """`limit` in seconds; 0 where nothing is asked."""
    took, answer = timed(url, *arguments)
    if arguments[0] == "rm" and arguments[1].startswith("b"):
        assert answer["pictures"] == CELLS, answer
    must = f"< {limit:g} s" if limit else ""
    return Figure(what, f"{took:.2f} s", must, not limit or took < limit)


def timed(url: str, *arguments: str) -> tuple[float, Any]:
    command = [sys.executable, "-m", "producer.cli.main", *arguments, "--store", url, "--json"]
    began = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, check=False)
    took = time.perf_counter() - began
    assert ended.returncode == 0, ended.stderr.decode()
    return took, json.loads(ended.stdout)
