"""A store's id: what a store is, whatever URL leads to it. Copied with the objects, it stays."""

from __future__ import annotations

import json

from common.errors import ObjectMissing, StoreRefused
from common.store import object_names
from common.store.protocol import Store

_BYTES = 10_000


def read_store_id(store: Store) -> str | None:
    """None where it has none: nothing was ordered there yet, or it is not the store that it seems
    to be. Raises StoreRefused for one that is damaged, and StoreError."""
    try:
        data = store.get(object_names.STORE_ID, most=_BYTES)
    except ObjectMissing:
        return None
    try:
        store_id = json.loads(data)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        store_id = None
    if not (isinstance(store_id, str) and store_id):
        raise StoreRefused(
            f"{store.url}: {object_names.STORE_ID} is damaged",
            hint='it is {"id": "…"}, and the broker has that id in the hash gridfarm:store',
        )
    return store_id


def write_store_id(store: Store, store_id: str) -> None:
    """Raises StoreError."""
    data = json.dumps({"id": store_id}).encode()
    store.put(object_names.STORE_ID, data, content_type="application/json")
