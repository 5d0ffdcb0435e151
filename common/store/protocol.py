"""What a store is: the protocol that `FolderStore` and `S3Store` fulfil, and the rules for names.

Object names are relative and the same on both; `common.store.object_names` makes every one of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from common.errors import StoreError, StoreRefused, TooLarge, UsageError
from common.store import object_names

#: S3 takes keys of 1,024 bytes of UTF-8; this leaves room for the store's prefix.
NAME_BYTES = 900

#: The most that is read into memory at once: a picture of 8192×8192 is 200 MB at worst, the bits of
#: a billion cells are 125 MB.
GET_BYTES = 256 << 20

CONTENT_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".html": "text/html; charset=utf-8",
}


OnBytes = Callable[[int], None]


class Store(Protocol):
    """Named bytes. A put is atomic: a reader gets the old object or the new one, never a part.

    Every method may raise StoreUnreachable, StoreRefused or StoreFull, and UsageError for a
    name that is not an object name. All are safe to call from several threads.
    """

    @property
    def url(self) -> str:
        """What `open_store` takes to come here again; no secrets."""

    def put(self, name: str, data: bytes, *, content_type: str = "") -> None:
        """Store `data`, over what was there. The type "" is the one of the name's ending."""

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file of any size. Raises InputFileError if it cannot be read."""

    def get(self, name: str, *, most: int = GET_BYTES) -> bytes:
        """Raises ObjectMissing, and TooLarge for more than `most` bytes."""

    def get_file(self, name: str, path: Path, on_bytes: OnBytes | None = None) -> None:
        """Fetch an object of any size; `path` appears only once it is whole. It is for reading
        alone, as it may be the object itself: a folder on the same disk links it.

        `on_bytes(count)` is called with each piece that comes; what it raises ends the
        fetching. Raises ObjectMissing."""

    def get_start(self, name: str, count: int) -> bytes:
        """The first `count` bytes, or all where there are fewer. Raises ObjectMissing."""

    def size(self, name: str) -> int:
        """The object's bytes. Raises ObjectMissing."""

    def exists(self, name: str) -> bool:
        """Whether the object is there."""

    def list(self, prefix: str) -> Iterator[str]:
        """The names that begin with `prefix`, in the order of their UTF-8 bytes."""

    def folders(self, folder: str) -> Iterator[str]:
        """The folders directly in `folder`, which ends in "/": for `batches/` the ids of the
        batches. In the order in which `list` comes to them; what lies in them is not listed."""

    def own_file(self, name: str) -> Path | None:
        """Where the object is a file of this machine: that file, which from then on nobody can
        write to by accident, so that links to it are safe. None for a store on a server."""

    def delete(self, name: str) -> None:
        """Remove the object; nothing happens if it is not there."""

    def presign(self, name: str, seconds: int) -> str:
        """A URL that anyone can read the object with, for at most 7 days."""

    def probe(self) -> None:
        """Put, head, get, list and delete a small object: do the rights suffice?

        Raises StoreRefused, StoreUnreachable or StoreFull, naming what failed."""


def check_name(name: str) -> None:
    """Refuse what is not a relative object name, the same on every store. Raises UsageError.

    Segments that begin with a dot are the file system's (`..`) and ours (partial files).
    """
    printable = name.isprintable() and "\\" not in name
    segments = name.split("/")
    if not (printable and all(segments)) or any(part.startswith(".") for part in segments):
        raise UsageError(
            f"{name!r} is not an object name",
            hint="it is made of parts joined by '/', none empty or beginning with '.'",
        )
    if len(name.encode()) > NAME_BYTES:
        raise UsageError(f"{name[:60]!r}… is longer than {NAME_BYTES} bytes; shorten the name")


def check_prefix(prefix: str) -> None:
    """Refuse what no object name can begin with. Raises UsageError."""
    check_name(f"{prefix}x")


def check_folder(folder: str) -> None:
    """Refuse what is no folder of object names. Raises UsageError."""
    check_name(folder.removesuffix("/"))
    if not folder.endswith("/"):
        raise UsageError(f"{folder!r} is not a folder", hint="a folder's name ends in '/'")


def content_type(name: str) -> str:
    return CONTENT_TYPES.get(Path(name).suffix, "application/octet-stream")


def check_size(place: str, size: int, most: int) -> None:
    """Raises TooLarge."""
    if size > most:
        raise TooLarge(f"{place} has {size:,} bytes; at most {most:,} are read")


def probe(store: Store) -> None:
    """What `Store.probe` does, in terms of the store's own methods."""
    name = object_names.probe(uuid.uuid4().hex)
    store.put(name, b"gridfarm")
    try:
        _probe_reading(store, name)
    except StoreError:
        with suppress(StoreError):
            store.delete(name)
        raise
    store.delete(name)


def _probe_reading(store: Store, name: str) -> None:
    there = store.exists(name) and store.get(name) == b"gridfarm" and name in store.list(name)
    if not there:
        raise StoreRefused(
            f"{store.url}: {name} was written but cannot be read back",
            hint="the store must show an object as soon as it is written",
        )
