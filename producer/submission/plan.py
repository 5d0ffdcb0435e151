"""What a batch would render: counted, and looked up in the store, before anything is ordered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from common.batch import Batch, Matrix
from common.config import FarmConfig
from common.store import Store
from producer.language import BatchFile
from producer.progress import ProgressCallback, show_no_progress
from producer.submission.needs import (
    Need,
    needs_of,
    notes_on_the_hub,
    notes_on_this_machine,
    pinned,
)
from producer.submission.resolve import resolve_offline
from producer.submission.stored import stored_jobs, stored_keys

#: A PNG of a photograph has about 1.6 bytes a pixel (SDXL's at 1024x1024: 1.3 to 1.9 MB).
BYTES_A_PIXEL = 1.6
#: Beside each PNG are a thumbnail and a sidecar.
BYTES_BESIDE = 30_000
#: So many cells stand for all when bytes are estimated.
SAMPLED = 100


@dataclass(frozen=True)
class Plan:
    """What a batch would render.

    `cells` are the combinations that are not excluded, `jobs` the different pictures among
    them, of which `stored` are in the store already and `new` would be rendered; `axes` says
    how many values each axis has. `bytes` is an estimate for all jobs. `unresolved` are the
    models and LoRAs, as they are written, that the hub is asked for at submit.

    `batch`, the id, and `stored` and `new` are None without a store, or while something is
    unresolved. Above 10,000 cells equal ones are counted only when that is asked for.
    """

    batch: str | None
    cells: int
    jobs: int
    new: int | None
    stored: int | None
    axes: dict[str, int]
    unresolved: list[str]
    bytes: int
    #: What the writer of the batch may not expect, each a line.
    notes: tuple[str, ...] = ()
    #: The URL of the store that was asked; "" for none.
    store: str = ""
    #: The cells themselves: `matrix[0].job`.
    matrix: Matrix = field(kw_only=True, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "cells": self.cells,
            "jobs": self.jobs,
            "new": self.new,
            "stored": self.stored,
            "axes": self.axes,
            "unresolved": self.unresolved,
            "bytes": self.bytes,
        }


def plan_batch(
    file: BatchFile,
    store: Store | None,
    config: FarmConfig | None = None,
    *,
    exact: bool = False,
    progress: ProgressCallback = show_no_progress,
) -> Plan:
    """Count what `file` would render; uploads nothing. Where `config` names no store it is this
    machine that would, and notes say what may go wrong here. The hub is asked once, for seconds,
    where something would have to come from it.

    With `exact` equal cells and stored pictures are counted of any number of cells: every
    cell's key is made, and every local file is hashed, whatever the cache remembers.
    Raises InputFileError for a bad local file, and StoreError.
    """
    needs = needs_of(file.batch)
    cache_dir = config.cache_dir if config else None
    batch = resolve_offline(file, store, cache_dir, progress, anew=exact, needs=needs)
    matrix = Matrix(batch)
    known = None if batch.unresolved else store
    counts = _counted_exactly if exact else _counted
    jobs, stored = counts(matrix, known, progress)
    return Plan(
        batch=None if stored is None else batch.id,
        cells=matrix.cells,
        jobs=jobs,
        new=None if stored is None else jobs - stored,
        stored=stored,
        axes={axis.name: axis.count for axis in batch.axes},
        unresolved=[file.lora_sources.get(name, name) for name in batch.unresolved],
        bytes=jobs * _bytes_a_picture(matrix),
        notes=tuple(_notes(file, batch, needs, renders_here=not (config and config.store))),
        store=store.url if store else "",
        matrix=matrix,
    )


def _notes(
    file: BatchFile, batch: Batch, needs: list[Need], *, renders_here: bool
) -> Iterator[str]:
    if renders_here:
        yield from notes_on_this_machine(needs)
    loras = [file.lora_sources[name] for name, sha256 in batch.loras.items() if not sha256]
    yield from notes_on_the_hub(pinned(needs, batch), loras, renders_here=renders_here)


def _counted(
    matrix: Matrix, store: Store | None, progress: ProgressCallback
) -> tuple[int, int | None]:
    """Jobs, and how many of them are stored."""
    if store is None:
        return matrix.jobs, None
    return matrix.jobs, stored_jobs(matrix, matrix.batch.id, store, progress).count


def _counted_exactly(
    matrix: Matrix, store: Store | None, progress: ProgressCallback
) -> tuple[int, int | None]:
    keys: set[str] = set()
    for cell in matrix:
        keys.add(cell.key)
        if cell.i % 1000 == 0:
            progress("counting different pictures", cell.i, len(matrix))
    return len(keys), None if store is None else len(stored_keys(keys, store, progress))


def _bytes_a_picture(matrix: Matrix) -> int:
    """The first cells stand for all."""
    pixels = [cell.job.width * cell.job.height for cell in islice(matrix, SAMPLED)]
    return round(BYTES_A_PIXEL * sum(pixels) / max(1, len(pixels))) + BYTES_BESIDE
