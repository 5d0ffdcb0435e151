"""The broker and the stores that a Farm talks to, each opened when it is first needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path

from common.batch import Batch, is_batch_id
from common.config import FarmConfig
from common.dispatch import FarmStore, Ledger
from common.errors import (
    BrokerAway,
    BrokerError,
    GridfarmError,
    NotFound,
    StoreError,
    StoreForeign,
    UsageError,
)
from common.store import FolderStore, Store, open_store
from producer.batches import FoundBatch, find_batch
from producer.catalogue import batch_ids, check_existing, remembered
from producer.farm.batch_argument import BatchArgument, read_argument
from producer.local import PLACE_NAME, Place, Presence, find_place, from_here, is_store, take_in
from producer.progress import ProgressCallback, Say
from producer.removal import Announcements, read_intents


@dataclass
class Connections:
    """`say` is told where something else than what is configured answers, `progress` how far a
    store of an earlier time is taken in."""

    config: FarmConfig
    say: Say
    progress: ProgressCallback
    _stores: dict[str, Store] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The configured store, else that of the renders here, which is said. Raises UsageError
        where there is none, and StoreError for a folder that is none."""
        if self.config.store:
            store = self.store_at(self.config.store)
            check_existing(store)
            return store
        place = find_place(Path.cwd())
        if place is None:
            raise _no_store(self.config)
        return self._store_of(place)

    @property
    def farm_store(self) -> Store:
        """The configured store. Raises UsageError where none is: workers of a farm look nowhere
        else."""
        return self.store_at(self.config.need_store())

    def render_store(self, out: str | PathLike[str] | None = None) -> Store:
        """As `store`, but where there is none it is made in this folder. `out` is where the batch
        is shown: an earlier render may have left a store of its own there."""
        if self.config.store:
            return self.store_at(self.config.store)
        return self._store_of(self.place, Place(Path(out or "")))

    @property
    def place(self) -> Place:
        """Where what is rendered here is shown."""
        here = Place(Path.cwd() / PLACE_NAME)
        return here if self.config.store else find_place(Path.cwd()) or here

    @property
    def rendered(self) -> Path | None:
        """The store of the renders here, if it is there."""
        store = self.place.store
        return store if store.is_dir() else None

    def _store_of(self, place: Place, out: Place | None = None) -> Store:
        url = str(place.store)
        if url not in self._stores:
            own = [out.store.absolute()] if out and is_store(out.store) else []
            for earlier in [*place.earlier_stores(), *own]:
                take_in(earlier, place.store, self.say, self.progress)
            self.say(f"store: {from_here(url)}")
        return self.store_at(url)

    def store_at(self, url: str) -> Store:
        if url not in self._stores:
            self._stores[url] = open_store(url)
        return self._stores[url]

    def store_of_first(self, batches: Sequence[BatchArgument]) -> Store:
        """Batches that are named together are in one store: the first one's."""
        first = batches[0]
        if isinstance(first, FoundBatch):
            return first.store
        return self.store

    @property
    def reachable_store(self) -> Store | None:
        """The store; None where there is none, and, said aloud, when it is away."""
        place = find_place(Path.cwd())
        if not self.config.store and place is None:
            return None
        try:
            store = self.render_store()
            if isinstance(store, FolderStore) and not store.root.exists():
                self.say(f"there is no folder {store.root}, so nothing is stored in it yet")
            store.exists("active")
        except StoreError as error:
            self.say(f"planning without the store: {error.message}")
            return None
        return store

    @cached_property
    def ledger(self) -> Ledger:
        """The configured broker's. Raises UsageError where none is."""
        return Ledger(self.config.need_broker())

    @property
    def ledger_if_any(self) -> Ledger | None:
        return self.ledger if self.config.broker else None

    def answering_ledger(self, store: Store, *batch_ids: str) -> Ledger | None:
        """The ledger that knows how batches of the store stand; None, said aloud, when its broker
        is away, or is the one of a farm that works with another store than this."""
        then = "this is what the store knows"
        try:
            return self.ledger_of(store, then, *batch_ids)
        except BrokerError as error:
            self.say(_with_hint(error, then))
            return None

    def ledger_of(self, store: Store, then: str, *batch_ids: str) -> Ledger | None:
        """That of a render at work on the store on this machine, else the configured broker's;
        None, said aloud with what comes of it (`then`), where that is the one of a farm that works
        with another store than this. Raises BrokerError."""
        if local := self._ledger_at_work(store, batch_ids):
            return local
        ledger = self.ledger_if_any
        try:
            if ledger:
                FarmStore(store, ledger).check()
        except StoreForeign as error:
            self.say(_with_hint(error, then))
            return None
        return ledger

    def ledger_of_all(self, store: Store, batch_ids: Collection[str]) -> Ledger | None:
        """That of batches which are removed together. Raises UsageError where a render at work has
        some of them and the farm others: each is stopped by its own ledger alone."""
        ledger = self.ledger_of(store, "it is removed from this store alone", *batch_ids)
        if ledger and self.config.broker and ledger.is_local:
            others = [id for id in batch_ids if not ledger.known(id) and self.ledger.known(id)]
            if others:
                raise UsageError(
                    f"a render on this machine is at work, and {', '.join(others)} is the farm's",
                    hint="remove what a render has and what the farm has one after another",
                )
        return ledger

    def steering_ledger(self, store: Store, batch_id: str) -> Ledger:
        """The ledger that hears what is ordered for a batch of this store, be it away: the store
        is told first. Raises StoreForeign where another store is the farm's, and UsageError."""
        if local := self._ledger_at_work(store, [batch_id]):
            return local
        if not self.config.broker:
            raise UsageError(
                "no broker is configured, and no render is at work here",
                hint="the same gridfarm render FILE goes on with a batch, and draws again what "
                "failed; a farm's broker is named with --broker or GRIDFARM_BROKER",
            )
        with suppress(BrokerError):
            FarmStore(store, self.ledger).check()
        return self.ledger

    def watched_ledger(self, store: Store, batch_id: str) -> Ledger | None:
        """One that answers; None where no broker is configured and no render is at work. Raises
        BrokerError, and StoreForeign as above."""
        if not (self.config.broker or self._ledger_at_work(store, [batch_id])):
            return None
        ledger = self.steering_ledger(store, batch_id)
        ledger.broker.ping()
        return ledger

    def listing_ledgers(self, store: Store) -> tuple[Ledger | None, Ledger | None]:
        """That of a render at work on the store on this machine, and the farm's if the farm works
        with it; where there is neither, that is said."""
        local = self.local_ledger(store)
        if local is None:
            return None, self.answering_ledger(store)
        with suppress(BrokerError, StoreForeign):
            if self.config.broker and FarmStore(store, self.ledger).check():
                return local, self.ledger
        return local, None

    def local_ledger(self, store: Store) -> Ledger | None:
        """That of a render which is at work on the store on this machine."""
        other = Presence.of(store.url, self.config.cache_dir).look()
        return other.ledger if other else None

    def _ledger_at_work(self, store: Store, batch_ids: Collection[str]) -> Ledger | None:
        """That of a render at work on the store on this machine: if it knows one of the batches,
        and without another broker in any case."""
        local = self.local_ledger(store)
        if local and not self.config.broker:
            return local
        with suppress(BrokerAway):
            if local and any(map(local.known, batch_ids)):
                return local
        return None

    def find(self, batch: BatchArgument) -> FoundBatch:
        """The batch of a store that is meant. Raises NotFound, and what `read_argument` does."""
        meant = read_argument(batch)
        if isinstance(meant, FoundBatch):
            return meant
        return FoundBatch(*find_batch(meant, self.store, self.config, self.say), self.store)

    def find_removable(self, batch: BatchArgument, store: Store) -> tuple[str, Batch | None]:
        """(id, document) of a batch in `store`; or, by its whole id, of one whose document cannot
        be read, or is gone, and then is where a removal that was cut off has put it, or None.
        Raises NotFound and StoreError."""
        try:
            meant = read_argument(batch)
            if isinstance(meant, FoundBatch):
                return meant.id, meant.document
            return find_batch(meant, store, self.config, self.say)
        except StoreError:
            raise
        except GridfarmError as error:
            if isinstance(batch, str) and is_batch_id(batch):
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


def _no_store(config: FarmConfig) -> UsageError:
    last = next(iter(remembered(config.cache_dir)), None)
    return UsageError(
        f"no store is named, and there is no {PLACE_NAME} in this folder or above",
        hint=(f"{last.where}; " if last else "")
        + "gridfarm render FILE makes one here; a farm's is named with --store or GRIDFARM_STORE",
    )
