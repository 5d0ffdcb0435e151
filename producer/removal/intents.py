"""The note of a removal under way: the documents of its batches, which are the batches' own no
more, and its beat.

    removing/<token>.<id>.json    batch.json; empty where the pictures stay
    removing/<token>.beat         see `beat`

The beat is written first and is deleted before the last document, so documents without a beat are
a removal that nobody is at.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.batch import DOCUMENT_BYTES, Batch, is_batch_id
from common.errors import GridfarmError, ObjectMissing, StoreError
from common.store import Store, object_names
from producer.catalogue import UnknownKeys, keys_of
from producer.removal.announcements import Announcements
from producer.removal.beat import Beat


@dataclass(frozen=True)
class Intent:
    """A removal under way, of batches with their documents; None where the pictures stay."""

    token: str
    batches: Mapping[str, Batch | None]
    store: Store = field(repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        return [object_names.removing(self.token, batch_id) for batch_id in self.batches]

    @property
    def keys(self) -> set[str]:
        """The pictures that it may delete; of what nobody can tell, none."""
        return {key for batch_id in self.batches for key in self.keys_of(batch_id)}

    def keys_of(self, batch_id: str) -> set[str]:
        try:
            return set(keys_of(batch_id, self.batches[batch_id]))
        except UnknownKeys:
            return set()

    def exists(self) -> bool:
        """Whether it is still under way, or cut off. Raises StoreError."""
        return any(self.store.exists(name) for name in self.names)

    def withdraw(self, beat: Beat, announcements: Announcements) -> None:
        """It is over. Raises StoreError, BrokerError, and Overtaken."""
        last, *others = self.names
        for name in others:  # many take their time, and nobody shall think that it was cut off
            beat.check()
            self.store.delete(name)
        beat.check()
        beat.stop()
        self.store.delete(last)
        announcements.withdraw(self.names)


def write_intent(
    batches: Mapping[str, Batch | None], store: Store, announcements: Announcements
) -> tuple[Intent, Beat]:
    """Raises StoreError, and then leaves no note; and BrokerError."""
    intent = Intent(uuid.uuid4().hex, batches, store)
    beat = Beat(store, intent.token)
    try:
        beat.begin()
        for name, batch in zip(intent.names, batches.values(), strict=True):
            store.put(name, batch.to_bytes() if batch else b"")
        announcements.remove(intent.names)
    except GridfarmError:
        for name in (beat.name, *intent.names):
            store.delete(name)
        raise
    return intent, beat


def read_intents(store: Store, announcements: Announcements) -> list[Intent]:
    """All removals under way, and those that were cut off. Raises StoreError and BrokerError."""
    names = {*store.list(object_names.REMOVING), *announcements.removing()}
    found: dict[str, dict[str, Batch | None]] = defaultdict(dict)
    for name in sorted(names):
        parts = object_names.removing_parts(name)
        if parts and is_batch_id(parts[1]):
            try:
                found[parts[0]][parts[1]] = _read(store, name)
            except ObjectMissing:
                continue  # it is over
    return [Intent(token, batches, store) for token, batches in found.items() if batches]


def _read(store: Store, name: str) -> Batch | None:
    """Raises StoreError."""
    try:
        return Batch.from_bytes(store.get(name, most=DOCUMENT_BYTES), source=name)
    except StoreError:
        raise
    except GridfarmError:
        return None
