"""The matrices of the batches that a process works on, each read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from common.batch import Matrix
from common.dispatch import read_batch
from common.store import Store

#: A farm may have hundreds of batches under way, and takes their cells in turns.
MOST = 512
#: Of documents. One that is larger alone is kept alone.
MOST_BYTES = 64 << 20


class Matrices:
    """Those that were used last, as long as there is room; `on_read(batch_id)` is called when one
    was read. Safe for several threads."""

    def __init__(self, store: Store, on_read: Callable[[str], None]) -> None:
        self.store = store
        self.on_read = on_read
        self._kept: OrderedDict[str, tuple[Matrix, int]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, batch_id: str) -> Matrix:
        """Raises StoreError, and GridfarmError for a document that is damaged."""
        with self._lock:
            if batch_id in self._kept:
                self._kept.move_to_end(batch_id)
                return self._kept[batch_id][0]
        batch = read_batch(self.store, batch_id)
        self.on_read(batch_id)
        matrix = Matrix(batch)
        with self._lock:
            self._kept[batch_id] = matrix, len(batch.to_bytes())
            while self._is_full():
                self._kept.popitem(last=False)
        return matrix

    def _is_full(self) -> bool:
        total = sum(size for _, size in self._kept.values())
        return len(self._kept) > 1 and (len(self._kept) > MOST or total > MOST_BYTES)
