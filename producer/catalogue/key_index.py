"""Short hashes of the keys of every batch, kept in the store, so that a removal reads only the
documents of the batches that may share a picture with it.

    index/<version>/<nn>.json    {batch id: base64 of PREFIX bytes of each of its keys}

A batch's document never changes, so neither does its entry. The index is a help and no truth: a
batch that it lacks is read and entered again, which is all that an update costs that was lost
between two writers. It has PARTS parts, so that a submit rewrites one small object.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from common.errors import GridfarmError, ObjectMissing, StoreError
from common.job import RENDERER_EPOCH
from common.store import Store, object_names

PARTS = 64
READERS = 16
#: Bytes of a key. A meeting by chance costs one document that is read for nothing.
PREFIX = 4
#: Another epoch has other keys for the same documents.
VERSION = f"keys-1.{RENDERER_EPOCH}"

Prefixes = frozenset[bytes]
Entries = dict[str, str]


def prefixes(keys: Iterable[str]) -> Prefixes:
    return frozenset(bytes.fromhex(key[: 2 * PREFIX]) for key in keys)


@dataclass(frozen=True)
class KeyIndex:
    """The index of one store. Nothing in it is believed further than that it saves a look."""

    store: Store

    def read(self) -> dict[str, Prefixes]:
        """Batch id → prefixes of its keys. Raises StoreError."""
        names = list(self.store.list(object_names.index(VERSION)))
        with ThreadPoolExecutor(READERS) as pool:
            parts = list(pool.map(self._read_part, names))
        found = {id_: _decoded(text) for part in parts for id_, text in part.items()}
        return {batch_id: keys for batch_id, keys in found.items() if keys is not None}

    def update(self, new: Mapping[str, Iterable[str]], gone: Collection[str] = ()) -> None:
        """Enter batches with their keys, and take others out. Where the store does not take it,
        nothing happens: somebody enters them later."""
        entries = {batch_id: _encoded(keys) for batch_id, keys in new.items()}
        changes: dict[str, dict[str, str | None]] = defaultdict(dict)
        for batch_id, text in (dict.fromkeys(gone) | entries).items():
            changes[_part_name(batch_id)][batch_id] = text
        with suppress(StoreError), ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self._change, changes, changes.values()))

    def _change(self, name: str, changes: dict[str, str | None]) -> None:
        before = self._read_part(name)
        merged = {id_: text for id_, text in (before | changes).items() if text is not None}
        if merged and merged != before:
            self.store.put(name, json.dumps(merged).encode())
        elif before and not merged:
            self.store.delete(name)

    def _read_part(self, name: str) -> Entries:
        """The entries that belong there; none of what is no part."""
        try:
            entries = json.loads(self.store.get(name))
        except ObjectMissing:
            return {}
        except StoreError:
            raise
        except (GridfarmError, ValueError, RecursionError):
            return {}
        known = entries.items() if isinstance(entries, dict) else ()
        return {id_: text for id_, text in known if _part_name(id_) == name}


def _part_name(batch_id: str) -> str:
    part = hashlib.sha256(batch_id.encode()).digest()[0] % PARTS
    return object_names.index_part(VERSION, part)


def _encoded(keys: Iterable[str]) -> str:
    return base64.b64encode(b"".join(sorted(prefixes(keys)))).decode()


def _decoded(text: object) -> Prefixes | None:
    """None for what nobody here has written."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    if len(data) % PREFIX:
        return None
    return frozenset(data[at : at + PREFIX] for at in range(0, len(data), PREFIX))
