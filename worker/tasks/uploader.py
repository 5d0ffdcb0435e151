"""Finished pictures on their way into the store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from common.errors import StoreError
from common.picture import EncodedPicture
from common.store import Store, object_names

#: Pictures in memory that the store did not take, 2 MB each.
KEPT = 16


class Uploader:
    """Uploads from several threads. What the store did not take is kept for a while, so that it
    is not drawn again when its cell comes back to this process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._copies = ThreadPoolExecutor(4, thread_name_prefix="upload")
        self._kept: dict[str, EncodedPicture] = {}

    def take(self, key: str) -> EncodedPicture | None:
        """What was drawn for `key` and could not be stored; the caller has it now."""
        return self._kept.pop(key, None)

    def put(self, key: str, encoded: EncodedPicture) -> None:
        """Raises StoreError, and keeps the picture."""
        try:
            self._put(key, encoded)
        except StoreError:
            self._keep(key, encoded)
            raise

    def _put(self, key: str, encoded: EncodedPicture) -> None:
        """Copies first, the picture last: a PNG under its key is a finished cell."""
        copies = [
            self._copies.submit(
                self.store.put,
                object_names.sidecar(key),
                encoded.sidecar,
                content_type="application/json",
            ),
            self._copies.submit(
                self.store.put,
                object_names.thumbnail(key),
                encoded.thumbnail,
                content_type="image/webp",
            ),
        ]
        for copy in copies:
            copy.result()
        self.store.put(object_names.picture(key), encoded.png, content_type="image/png")

    def _keep(self, key: str, encoded: EncodedPicture) -> None:
        self._kept[key] = encoded
        while len(self._kept) > KEPT:
            with suppress(KeyError, StopIteration):  # another thread took it
                del self._kept[next(iter(self._kept))]
