"""The broker and the stores that a Farm talks to, each opened when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from common.batch import BATCH_ID, Batch
from common.config import FarmConfig
from common.dispatch import FarmStore, Ledger
from common.errors import BrokerError, GridfarmError, NotFound, StoreError, StoreForeign
from common.store import Store, open_store
from producer.batches import FoundBatch, find_batch, store_for
from producer.catalogue import batch_ids, check_existing
from producer.farm.batch_argument import BatchArgument, read_argument
from producer.language import BatchFile
from producer.progress import Say
from producer.removal import Announcements, read_intents


@dataclass
class Connections:
    """`say` is told where something else than what is configured answers."""

    config: FarmConfig
    say: Say
    _stores: dict[str, Store] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The configured store. Raises UsageError where none is."""
        return self.store_at(self.config.need_store())

    def store_at(self, url: str) -> Store:
        if url not in self._stores:
            self._stores[url] = open_store(url)
        return self._stores[url]

    def store_of(self, batch: str | BatchFile) -> Store:
        """Where to look for the batch; another store than the configured one is said, once."""
        url = store_for(batch, self.config)
        if url != self.config.store and url not in self._stores:
            self.say(f"looking in {_from_here(url)}, where the last batch is")
        store = self.store_at(url) if url else self.store
        check_existing(store)
        return store

    def store_of_first(self, batches: Sequence[BatchArgument]) -> Store:
        """Batches that are named together are in one store: the first one's."""
        first = batches[0]
        if isinstance(first, FoundBatch):
            return first.store
        return self.store_of(first if isinstance(first, str) else "")

    @property
    def reachable_store(self) -> Store | None:
        """The configured store; None where there is none, and, said aloud, when it is away."""
        if not self.config.store:
            return None
        try:
            self.store.exists("active")
        except StoreError as error:
            self.say(f"planning without the store: {error.message}")
            return None
        return self.store

    @cached_property
    def ledger(self) -> Ledger:
        """The configured broker's. Raises UsageError where none is."""
        return Ledger(self.config.need_broker())

    @property
    def ledger_if_any(self) -> Ledger | None:
        return self.ledger if self.config.broker else None

    def answering_ledger(self, store: Store) -> Ledger | None:
        """The ledger of the configured broker; None, said aloud, when that is away, or is the one
        of a farm that works with another store than this."""
        then = "this is what the store knows"
        try:
            return self.ledger_of(store, then)
        except BrokerError as error:
            self.say(_with_hint(error, then))
            return None

    def ledger_of(self, store: Store, then: str) -> Ledger | None:
        """The ledger of the configured broker; None, said aloud with what comes of it (`then`),
        where that is the one of a farm that works with another store than this. Raises
        BrokerError."""
        ledger = self.ledger_if_any
        try:
            if ledger:
                FarmStore(store, ledger).check()
        except StoreForeign as error:
            self.say(_with_hint(error, then))
            return None
        return ledger

    def steering_ledger(self, store: Store) -> Ledger:
        """The ledger that hears what is ordered for a batch of this store, be it away: the store
        is told first. Raises StoreForeign where another store is the farm's, and UsageError."""
        with suppress(BrokerError):
            FarmStore(store, self.ledger).check()
        return self.ledger

    def watched_ledger(self, store: Store) -> Ledger:
        """One that answers. Raises BrokerError, and StoreForeign and UsageError as above."""
        self.ledger.broker.ping()
        return self.steering_ledger(store)

    def find(self, batch: BatchArgument) -> FoundBatch:
        """The batch of a store that is meant. Raises NotFound, and what `read_argument` does."""
        meant = read_argument(batch)
        if isinstance(meant, FoundBatch):
            return meant
        store = self.store_of(meant)
        return FoundBatch(*find_batch(meant, store, self.config), store)

    def find_removable(self, batch: BatchArgument, store: Store) -> tuple[str, Batch | None]:
        """(id, document) of a batch in `store`; or, by its whole id, of one whose document cannot
        be read, or is gone, and then is where a removal that was cut off has put it, or None.
        Raises NotFound and StoreError."""
        try:
            meant = read_argument(batch)
            if isinstance(meant, FoundBatch):
                return meant.id, meant.document
            return find_batch(meant, store, self.config)
        except StoreError:
            raise
        except GridfarmError as error:
            if isinstance(batch, str) and BATCH_ID.match(batch):
                for intent in read_intents(store, Announcements(self.ledger_if_any)):
                    if batch in intent.batches:
                        return batch, intent.batches[batch]
                if batch in batch_ids(store):
                    return batch, None
            if isinstance(error, NotFound):
                raise
            raise NotFound(error.message, hint="to remove it, give its whole id") from error


def _with_hint(error: GridfarmError, then: str) -> str:
    """What is wrong, what comes of it, and on a line of its own what to do, as for an error."""
    return "\n  ".join(filter(None, [f"{error.message}; {then}", error.hint]))


def _from_here(store: str) -> str:
    """A folder below this one as a person would write it."""
    with suppress(ValueError):
        return str(Path(store).relative_to(Path.cwd()))
    return store
