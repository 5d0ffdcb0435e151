"""Whether a picture is in the store: proven by its own first bytes."""

from __future__ import annotations

from common.errors import ObjectMissing, StoreRefused
from common.picture.metadata import KEYWORD, SIGNATURE
from common.store import Store, object_names

#: The metadata's key stands in the first text of the PNG, some 120 bytes after its begin.
START_BYTES = 512


def is_stored(store: Store, key: str) -> bool:
    """Whether the picture of this key is there, which costs one request.

    That something answers under its name is not believed: another server at the store's address
    may say so of everything. The PNG's first bytes name the key. A picture that lies in cold
    storage or that this user may not read counts as there, as far as the store says so. Raises
    StoreError.
    """
    name = object_names.picture(key)
    try:
        start = store.get_start(name, START_BYTES)
    except ObjectMissing:
        return False
    except StoreRefused:  # S3 grants HEAD with GET, so that only a list tells
        return name in store.list(name)
    return start.startswith(SIGNATURE) and _names(start, key)


def _names(start: bytes, key: str) -> bool:
    at = start.find(KEYWORD.encode() + b"\0")
    return at > 0 and f'"key":"{key}"'.encode() in start[at:]
