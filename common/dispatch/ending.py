"""How a batch ends: its pictures are looked for in the store, then it is written down there."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

from common.batch import Matrix
from common.dispatch.bitmap import cells_in
from common.dispatch.farm_store import FarmStore
from common.dispatch.records import (
    Control,
    mark_active,
    read_batch,
    read_control,
    read_control_if_any,
    write_cells,
    write_control,
    write_failure,
)
from common.errors import GridfarmError, StoreError
from common.picture import is_stored
from common.store import object_names

FINISH_EVERY_MS = 10_000
#: A batch with more cells gets no cells.jsonl: it would be hundreds of megabytes.
CELLS_FILE_UP_TO = 100_000

#: Of a batch with more jobs so many pictures are looked for, chosen at random; all of them where
#: one of these is missing.
LOOK_FOR_ALL_UP_TO = 10_000
SAMPLE = 1_000
LOOKERS = 16
AT_ONCE = 256
#: A cell whose picture vanished so often fails.
MOST_LOSSES = 3
VANISHED = (
    f"its picture was stored {MOST_LOSSES} times and was not in the store when the batch ended;"
    " does something delete there what is new?"
)

_ANY = re.compile(rb"[^\0]")

log = logging.getLogger(__name__)


class Ending:
    """Copies what the ledger knows of a batch into the store."""

    def __init__(self, farm_store: FarmStore) -> None:
        self.farm_store = farm_store
        self.store = farm_store.store
        self.ledger = farm_store.ledger
        self._whole: dict[str, bytes] = {}

    def snapshot(self, batch_id: str) -> bool:
        """Copy the done bits into the store. False, and never, those of a ledger that was just
        wiped or has lost a part, and nothing for a batch that was removed."""
        data = self.ledger.done_bitmap(batch_id)
        if not self.ledger.sound(batch_id):
            return False
        if self._has_passed_to_a_farm(batch_id):
            return True
        if not self.store.exists(object_names.batch(batch_id)):
            return False
        self.store.put(
            object_names.done_bitmap(batch_id), data, content_type="application/octet-stream"
        )
        return True

    def finish(self, batch_id: str) -> None:
        """Write down how the batch ended, unless pictures of it are missing, which are rendered
        again. Safe to be cut off anywhere and done again: the marker `active/<id>` goes last but
        for Redis. Raises StoreForeign for a store that is not the farm's."""
        if not self.ledger.broker.once(_once(batch_id), every_ms=FINISH_EVERY_MS):
            return
        self.farm_store.check()
        if self._has_passed_to_a_farm(batch_id):
            self.ledger.finish(batch_id)
            return
        matrix = self._matrix(batch_id)
        if matrix and self._send_missing_again(batch_id, matrix):
            return
        failures = self.ledger.failures(batch_id)
        self._note_vanished(batch_id, failures)
        if matrix and len(matrix) <= CELLS_FILE_UP_TO:
            write_cells(self.store, batch_id, matrix, failures)
        if not self.snapshot(batch_id):
            return
        control = read_control(self.store, batch_id)
        write_control(self.store, batch_id, replace(control, state="done"))
        self.store.delete(object_names.active(batch_id))
        self._whole.pop(batch_id, None)
        if not self.ledger.finish(batch_id):
            self._go_on(batch_id, control)

    def _has_passed_to_a_farm(self, batch_id: str) -> bool:
        """Of a batch that a render on somebody's machine works on: it was submitted to a farm
        since, which writes its documents from then on."""
        if not self.ledger.is_local:
            return False
        control = read_control_if_any(self.store, batch_id)
        return control is not None and not control.local

    def _matrix(self, batch_id: str) -> Matrix | None:
        """None for a document that is damaged: its cells have failed. Raises StoreError."""
        try:
            return Matrix(read_batch(self.store, batch_id))
        except StoreError:
            raise
        except GridfarmError as error:
            log.warning("%s: no cells.jsonl: %s", batch_id, error.message)
            return None

    def _send_missing_again(self, batch_id: str, matrix: Matrix) -> bool:
        """Whether there were any. What was all there is not looked for again, where something else
        keeps the end from being written down."""
        done = self.ledger.done_bitmap(batch_id)
        if self._whole.get(batch_id) == done:
            return False
        again = 0
        for missing in self._missing(batch_id, matrix, done):
            again += len(missing)
            self.ledger.lost(batch_id, missing, most=MOST_LOSSES, reason=VANISHED)
        if again:
            log.warning("%s: %d pictures that were stored are not there; they are rendered again",
                        batch_id, again)  # fmt: skip
            self.ledger.broker.not_any_more(_once(batch_id))
        else:
            self._whole[batch_id] = done
        return again > 0

    def _note_vanished(self, batch_id: str, failures: dict[int, str]) -> None:
        """Of all failures the ledger alone knows these. Nothing is over before the store does."""
        for i, reason in failures.items():
            if reason == VANISHED:
                write_failure(self.store, batch_id, i, reason)

    def _missing(self, batch_id: str, matrix: Matrix, done: bytes) -> Iterator[list[int]]:
        """The cells of a done bitmap that have no picture, some at a time."""
        if int.from_bytes(done).bit_count() > LOOK_FOR_ALL_UP_TO:
            sample = islice(_at_random(done), SAMPLE)
            if not any(self._without_picture(batch_id, matrix, sample)):
                return
        yield from filter(None, self._without_picture(batch_id, matrix, cells_in(done)))

    def _without_picture(
        self, batch_id: str, matrix: Matrix, cells: Iterable[int]
    ) -> Iterator[list[int]]:
        """Of some of the cells at a time, those without a picture. Meanwhile nobody else looks."""
        waiting = iter(cells)
        with ThreadPoolExecutor(LOOKERS) as pool:
            while chunk := list(islice(waiting, AT_ONCE)):
                self.ledger.broker.hold(_once(batch_id), ms=FINISH_EVERY_MS)
                there = pool.map(partial(self._has_picture, matrix), chunk)
                yield [i for i, is_there in zip(chunk, there, strict=True) if not is_there]

    def _has_picture(self, matrix: Matrix, i: int) -> bool:
        try:
            cell = matrix[i]
        except (GridfarmError, IndexError):
            return True  # no cell that could have one
        return cell is None or is_stored(self.store, cell.key)

    def _go_on(self, batch_id: str, control: Control) -> None:
        """A person asked for failed cells again while the end was written down."""
        if status := self.ledger.status(batch_id):
            retried = max(control.retried, read_control(self.store, batch_id).retried)
            control = replace(
                control,
                state=status.state,
                generation=status.generation,
                priority=status.priority,
                retried=retried,
            )
            write_control(self.store, batch_id, control)
            mark_active(self.store, batch_id, control)


def _once(batch_id: str) -> str:
    return f"finish:{batch_id}"


def _at_random(done: bytes) -> Iterator[int]:
    """Cells that are done, of which there is one at least; without end, and one may come twice."""
    while True:
        at = random.randrange(len(done))
        found = _ANY.search(done, at) or _ANY.search(done)
        assert found
        yield random.choice([*cells_in(found[0])]) + 8 * found.start()
