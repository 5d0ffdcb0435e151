"""TODO."""

from __future__ import annotations

from producer.batches.control import Controller
from producer.batches.listing import Overview, overview
from producer.batches.lookup import batch_ids, find_batch, remember, store_for
from producer.batches.remove import Documents, Pictures, choose_pictures, remove, wait_until_stopped
from producer.batches.status import Status, Watcher

__all__ = [
    "Controller",
    "Documents",
    "Overview",
    "Pictures",
    "Status",
    "Watcher",
    "batch_ids",
    "choose_pictures",
    "find_batch",
    "overview",
    "remember",
    "remove",
    "store_for",
    "wait_until_stopped",
]
