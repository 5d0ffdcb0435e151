"""TODO."""

from __future__ import annotations

from common.store import object_names
from common.store.local_files import FULL, PARTIAL, disk_errors, replacing
from common.store.protocol import GET_BYTES, OnBytes, Store, check_size, open_store, without_login

__all__ = [
    "FULL",
    "GET_BYTES",
    "PARTIAL",
    "OnBytes",
    "Store",
    "check_size",
    "disk_errors",
    "object_names",
    "open_store",
    "replacing",
    "without_login",
]
