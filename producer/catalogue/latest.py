"""The batches of a store, the one that was submitted last first.

A name `latest/<time>-<id>` for each batch sorts that way, so the order costs one listing and no
document is read. The truth is `submitted` in control.json: a batch without a name, from before
there were names or because a submit was cut off, is looked up there once and gets one.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from common.dispatch import read_control_if_any
from common.errors import GridfarmError, StoreError, StoreUnreachable
from common.store import Store, object_names
from producer.catalogue.ids import batch_ids

READERS = 16


def note_latest(store: Store, batch_id: str, submitted: float) -> None:
    """The batch was submitted at that Unix time. Raises StoreError."""
    store.put(object_names.latest(batch_id, submitted), b"")


def forget_latest(store: Store, batch_id: str, submitted: float) -> None:
    """It was submitted again since, or removed. Raises StoreError."""
    store.delete(object_names.latest(batch_id, submitted))


def latest_first(store: Store, among: Iterable[str] | None = None) -> dict[str, float]:
    """Batch id → Unix time of its last submit, 0 where that is unknown, in that order; of all
    batches, or of those `among` them. Raises StoreError."""
    # Names before ids: a submit writes them the other way, so a name without a batch is stale.
    named = list(store.list(object_names.LATEST))
    ids = set(batch_ids(store) if among is None else among)
    times: dict[str, float] = {}
    stale = []
    for name in named:
        batch_id, submitted = object_names.latest_parts(name) or ("", 0.0)
        if batch_id in ids and batch_id not in times:
            times[batch_id] = submitted
        elif batch_id:
            stale.append(name)
    if among is None:
        _delete(store, stale)
    if unknown := sorted(ids - times.keys()):
        times |= _looked_up(store, unknown)
    return dict(sorted(times.items(), key=lambda one: (-one[1], one[0])))


def _delete(store: Store, stale: list[str]) -> None:
    """The names of batches that were removed or submitted again; whoever may only read leaves
    them."""
    with suppress(StoreError):
        for name in stale:
            store.delete(name)


def _looked_up(store: Store, ids: list[str]) -> dict[str, float]:
    with ThreadPoolExecutor(READERS) as pool:
        times = dict(zip(ids, pool.map(lambda id_: _submitted(store, id_), ids), strict=True))
        known = [(id_, time) for id_, time in times.items() if time is not None]
        with suppress(StoreError):
            for one in known[:1]:  # whoever may only read finds out by one
                note_latest(store, *one)
            list(pool.map(lambda one: note_latest(store, *one), known[1:]))
    return {batch_id: time or 0.0 for batch_id, time in times.items()}


def _submitted(store: Store, batch_id: str) -> float | None:
    """None where that is not written down, or cannot be read: who shows the batch says so."""
    try:
        control = read_control_if_any(store, batch_id)
    except StoreUnreachable:
        raise
    except GridfarmError:
        return None
    return control.submitted if control else None
