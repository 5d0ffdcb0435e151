"""How a batch ends: what is written down of it in the store."""

from __future__ import annotations

import logging
from dataclasses import replace

from common.batch import Matrix
from common.dispatch.ledger import Ledger
from common.dispatch.records import Control, read_batch, read_control, write_cells, write_control
from common.errors import GridfarmError, StoreError
from common.store import Store, object_names

FINISH_EVERY_MS = 5_000
#: A batch with more cells gets no cells.jsonl: it would be hundreds of megabytes.
CELLS_FILE_UP_TO = 100_000

log = logging.getLogger(__name__)


class Ending:
    """Copies what the ledger knows of a batch into the store."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger

    def snapshot(self, batch_id: str) -> bool:
        """Copy the done bits into the store. False, and never, those of a ledger that was just
        wiped or has lost a part, and nothing for a batch that was removed."""
        data = self.ledger.done_bitmap(batch_id)
        if not self.ledger.sound(batch_id):
            return False
        if not self.store.exists(object_names.batch(batch_id)):
            return False
        self.store.put(
            object_names.done_bitmap(batch_id), data, content_type="application/octet-stream"
        )
        return True

    def finish(self, batch_id: str) -> None:
        """Write down how the batch ended. Safe to be cut off anywhere and done again: the
        marker `active/<id>` goes last but for Redis. Of a ledger that lost a part nothing is
        believed; the next reconcile rebuilds it."""
        if not self.ledger.broker.once(f"finish:{batch_id}", every_ms=FINISH_EVERY_MS):
            return
        if not self.ledger.sound(batch_id):
            return
        self._write_cells(batch_id)
        if not self.snapshot(batch_id):
            return
        control = read_control(self.store, batch_id)
        write_control(self.store, batch_id, replace(control, state="done"))
        self.store.delete(object_names.active(batch_id))
        if not self.ledger.finish(batch_id):
            self._go_on(batch_id, control)

    def _go_on(self, batch_id: str, control: Control) -> None:
        """A person asked for failed cells again while the end was written down."""
        if status := self.ledger.status(batch_id):
            control = replace(
                control, state=status.state, generation=status.generation, priority=status.priority
            )
            write_control(self.store, batch_id, control)
            self.store.put(object_names.active(batch_id), b"")

    def _write_cells(self, batch_id: str) -> None:
        try:
            matrix = Matrix(read_batch(self.store, batch_id))
        except StoreError:
            raise
        except GridfarmError as error:
            log.warning("%s: no cells.jsonl: %s", batch_id, error.message)
            return
        if len(matrix) > CELLS_FILE_UP_TO:
            return
        write_cells(self.store, batch_id, matrix, self.ledger.failures(batch_id))
