"""The object store, where pictures, assets and batches live: a folder, or a bucket on S3.

object_names   every object name there is; begin here
protocol       `Store`: what can be done with named bytes, and what names are
opening        `open_store`: from a URL to a store
mistyped       what was meant by a URL that is none
store_id       which store this is, whatever its URL
folder         a folder as a store
s3             a bucket as a store; boto3 is loaded when one is opened
s3_errors      what a server answers, as the store's errors
local_files    files of this machine, written whole or not at all
"""

from __future__ import annotations

from common.store import object_names
from common.store.folder import FolderStore
from common.store.local_files import FULL, disk_errors, file_in, link, prepared, replacing
from common.store.opening import open_store
from common.store.protocol import GET_BYTES, OnBytes, Store, check_size
from common.store.store_id import read_store_id, write_store_id

__all__ = [
    "FULL",
    "GET_BYTES",
    "FolderStore",
    "OnBytes",
    "Store",
    "check_size",
    "disk_errors",
    "file_in",
    "link",
    "object_names",
    "open_store",
    "prepared",
    "read_store_id",
    "replacing",
    "write_store_id",
]
