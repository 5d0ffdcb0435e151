"""Which pictures of a batch the store has already."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common.batch import Matrix
from common.dispatch import bitmap_of, read_done
from common.picture import is_stored
from common.store import Store
from producer.progress import ProgressCallback, show_no_progress

READ_THREADS = 16


@dataclass(frozen=True)
class Stored:
    """What the store has of a batch: a done bitmap, and how many jobs that are."""

    done: bytes
    count: int


def stored_jobs(
    matrix: Matrix, batch_id: str, store: Store, progress: ProgressCallback = show_no_progress
) -> Stored:
    """Which jobs have a picture already. Up to ENUMERATE_UP_TO cells each key is looked up;
    above that the batch's own `done.bitmap` is all that is known. Raises StoreError."""
    if matrix.distinct is None:
        done = read_done(store, batch_id, len(matrix))
        return Stored(done, sum(byte.bit_count() for byte in done))
    jobs = matrix.distinct.jobs
    cells = [jobs[key] for key in stored_keys(jobs, store, progress)]
    return Stored(bitmap_of(cells, len(matrix)) if cells else b"", len(cells))


def stored_keys(
    keys: Iterable[str], store: Store, progress: ProgressCallback = show_no_progress
) -> list[str]:
    """Those of the keys that have a picture. Raises StoreError."""
    wanted = list(keys)
    stored = []
    with ThreadPoolExecutor(READ_THREADS) as pool:
        answers = pool.map(lambda key: is_stored(store, key), wanted)
        for count, (key, there) in enumerate(zip(wanted, answers, strict=True), 1):
            if there:
                stored.append(key)
            progress("looking for stored pictures", count, len(wanted))
    return stored
