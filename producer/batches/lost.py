"""What `retry` has to render besides failed cells: pictures that are lost, which the ledger or the
done bitmap takes for stored, and which are not there any more or damaged."""

from __future__ import annotations

from dataclasses import dataclass

from common.batch import Matrix
from common.dispatch import Ledger, bitmap_of, is_set
from common.store import Store
from producer.batches.due import done_bits, due_cells
from producer.pictures import TakenAway, take_damaged_away
from producer.progress import ProgressCallback
from producer.submission import stored_jobs


@dataclass(frozen=True)
class Lost:
    """`count` pictures are lost, `missing` are not in the store, whether they ever were or not.
    With `done` as its bitmap the ledger renders what is missing; None: with the one it has."""

    count: int
    missing: int
    done: bytes | None
    taken_away: TakenAway


def look_for_lost(
    batch_id: str, matrix: Matrix, store: Store, ledger: Ledger, progress: ProgressCallback
) -> Lost:
    """Take away what is noted as damaged and still is; then look what is there.

    Above ENUMERATE_UP_TO cells nobody looks at each: what is not noted is taken for stored.
    Raises StoreError.
    """
    due = due_cells(batch_id, matrix, store, ledger)
    taken_away = take_damaged_away(matrix, batch_id, store, progress)
    if matrix.distinct is None:
        return _of_many(batch_id, matrix, store, ledger, taken_away)
    stored = stored_jobs(matrix, batch_id, store, progress)
    missing = [i for i in matrix.distinct.jobs.values() if not is_set(stored.done, i)]
    return Lost(sum(i in due for i in missing), len(missing), stored.done, taken_away)


def _of_many(
    batch_id: str, matrix: Matrix, store: Store, ledger: Ledger, taken_away: TakenAway
) -> Lost:
    """A cell that a worker stores while its bit is on the way is sent again, and found stored."""
    gone = taken_away.gone
    if not gone:
        return Lost(0, matrix.jobs, None, taken_away)
    done = without(done_bits(batch_id, matrix, store, ledger), gone)
    return Lost(len(gone), matrix.jobs, done, taken_away)


def without(bits: bytes, cells: frozenset[int]) -> bytes:
    """The bitmap with the bits of these cells cleared."""
    cleared = bitmap_of((i for i in cells if i < 8 * len(bits)), 8 * len(bits))
    return bytes(bit & ~clear for bit, clear in zip(bits, cleared, strict=True))
