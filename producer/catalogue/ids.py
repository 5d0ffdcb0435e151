"""The ids of all batches of a store."""

from __future__ import annotations

from common.batch import is_batch_id
from common.store import Store, object_names


def batch_ids(store: Store) -> list[str]:
    """All batches in the store, and what a removal that was cut off has left of one."""
    return [name for name in store.folders(object_names.BATCHES) if is_batch_id(name)]
