"""A batch's documents in the store: what it is, what is wanted of it, what is done, what failed.

    batches/<id>/batch.json           the frozen batch
    batches/<id>/control.json         `Control`
    batches/<id>/done.bitmap          the cells that are stored, as the ledger's last snapshot
    batches/<id>/failures/<i>.json    why cell i cannot be rendered, as a worker left it
    batches/<id>/cells.jsonl          every cell, written when the batch is done

Whoever may write to the store may have written them, so nothing in them is believed.
"""

from __future__ import annotations

import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import get_args

from common.batch import DOCUMENT_BYTES, MAX_CELLS, Batch, Matrix
from common.dispatch.bitmap import cut_to
from common.dispatch.states import PRIORITIES, State
from common.errors import GridfarmError, ObjectMissing, StoreError, StoreRefused
from common.store import Store, object_names

READERS = 16
LONGEST_REASON = 4_000
#: The largest control.json or note of a failure that is read, in bytes.
NOTE_BYTES = 1 << 20
#: Unix time of the year 10,000, which no calendar here reaches.
LAST_TIME = 253_402_300_800

_FAILURE = re.compile(r"/failures/(\d{1,10})\.json\Z", re.ASCII)


@dataclass(frozen=True)
class Control:
    """What a person may change of a batch in flight; in the store before it is in Redis.

    `retried` is the generation in which failed cells were last asked for again: a ledger of an
    earlier one has failures that the store has no more. `submitted` is Unix time. `local`: it is
    rendered on somebody's own machine, and no farm that works with the store takes it up.
    """

    state: State = "rendering"
    generation: int = 0
    priority: int = PRIORITIES["normal"]
    submitted: float = 0.0
    retried: int = 0
    local: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be; the document may be anybody's."""
        numbers = (self.generation, self.priority, self.retried)
        if self.state not in get_args(State):
            raise ValueError(f"there is no state {self.state!r}"[:100])
        if not all(type(n) is int and 0 <= n < 2**53 for n in numbers):
            raise ValueError("generation, priority and retried are whole numbers")
        if type(self.local) is not bool:
            raise ValueError("local is true or false")
        if not (type(self.submitted) in (int, float) and math.isfinite(self.submitted)):
            raise ValueError("submitted is a number")
        if not 0 <= self.submitted < LAST_TIME:
            raise ValueError(f"submitted is no Unix time: {self.submitted:g}")

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Control:
        """Raises GridfarmError for what is no control document."""
        try:
            known = asdict(cls())
            return cls(**{name: value for name, value in json.loads(data).items() if name in known})
        except (ValueError, AttributeError, RecursionError) as error:
            raise GridfarmError(
                f"a batch's control.json is damaged: {error}", hint="submit the batch file again"
            ) from error


def new_control(*, local: bool = False) -> Control:
    """Of a batch that is submitted now."""
    return Control(submitted=time.time(), local=local)


def read_batch(store: Store, batch_id: str) -> Batch:
    """Raises ObjectMissing, and GridfarmError for a document that is damaged or from another
    version."""
    name = object_names.batch(batch_id)
    return Batch.from_bytes(store.get(name, most=DOCUMENT_BYTES), source=name)


def read_control(store: Store, batch_id: str) -> Control:
    """The default where there is none. Raises GridfarmError for one that is damaged."""
    return read_control_if_any(store, batch_id) or Control()


def read_control_if_any(store: Store, batch_id: str) -> Control | None:
    """None where a submit has not come so far, or what is there was removed."""
    try:
        return Control.from_bytes(store.get(object_names.control(batch_id), most=NOTE_BYTES))
    except ObjectMissing:
        return None


def write_control(store: Store, batch_id: str, control: Control) -> None:
    store.put(object_names.control(batch_id), control.to_bytes(), content_type="application/json")


def mark_active(store: Store, batch_id: str, control: Control) -> None:
    """Let the farm find a batch that is not finished, should its broker forget it. One that is
    rendered on somebody's own machine is not for the farm. Raises StoreError."""
    if not control.local:
        store.put(object_names.active(batch_id), b"")


def read_done(store: Store, batch_id: str, cells: int = MAX_CELLS) -> bytes:
    """The bitmap of a batch of so many cells. Bits beyond, if there are any, are nobody's."""
    try:
        return cut_to(store.get(object_names.done_bitmap(batch_id)), cells)
    except ObjectMissing:
        return b""


def read_failures(store: Store, batch_id: str, cells: int = MAX_CELLS) -> dict[int, str]:
    """Cell → reason, of a batch of so many cells."""
    listed = store.list(object_names.failures(batch_id))
    names = {i: name for name in listed if (i := cell_of_failure(name)) is not None and i < cells}
    if not names:
        return {}
    with ThreadPoolExecutor(READERS) as pool:
        reasons = pool.map(lambda name: _read_reason(store, name), names.values())
        pairs = zip(names, reasons, strict=True)
        return {i: reason for i, reason in pairs if reason is not None}


def _read_reason(store: Store, name: str) -> str | None:
    """None for a note that a retry has just taken away."""
    try:
        return str(json.loads(store.get(name, most=NOTE_BYTES))["reason"])[:LONGEST_REASON]
    except ObjectMissing:
        return None
    except StoreRefused:
        return "its note in failures/ cannot be read"
    except StoreError:
        raise
    except (GridfarmError, ValueError, TypeError, KeyError, RecursionError):
        return "its note in failures/ is damaged"


def write_failure(
    store: Store, batch_id: str, i: int, reason: str, *, key: str = "", worker: str = ""
) -> None:
    """Why cell i cannot be rendered; `worker` says so. Raises StoreError."""
    note = {"i": i, "key": key, "reason": reason, "worker": worker}
    name = object_names.failure(batch_id, i)
    store.put(name, json.dumps(note).encode(), content_type="application/json")


def cell_of_failure(name: str) -> int | None:
    """The i of an object `…/failures/<i>.json`; None for what no worker has put there."""
    match = _FAILURE.search(name)
    return int(match[1]) if match else None


def write_cells(store: Store, batch_id: str, matrix: Matrix, failures: dict[int, str]) -> None:
    """A line for each cell: its number, key and labels, and why it failed, if it did."""
    lines = (
        {"i": i, "key": _key(matrix, i), "labels": matrix.labels(i), "failed": failures.get(i)}
        for i in matrix.numbers()
    )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    store.put(object_names.cells(batch_id), text.encode(), content_type="application/jsonl")


def _key(matrix: Matrix, i: int) -> str | None:
    """None for a cell that cannot be, and has failed with that reason."""
    try:
        cell = matrix[i]
    except GridfarmError:
        return None
    return cell.key if cell else None
