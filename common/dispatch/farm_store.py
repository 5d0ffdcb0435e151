"""Which store a farm works with, so that nobody takes another one for it.

The store's id lies in the store (`common.store.store_id`) and on the broker, in the hash
`gridfarm:store` with the URL for people. Who orders a batch makes the store the farm's; everybody
else compares. What is missing in another store, or in a folder that is not mounted, says nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from common.dispatch.ledger import Ledger
from common.errors import StoreForeign
from common.store import Store, read_store_id, write_store_id

NAME = "gridfarm:store"
#: A store that was the farm's a moment ago still is, for who works with it and who waits.
LOOK_EVERY_S = 30.0
LOOK_IDLY_EVERY_S = 600.0
ADOPTING_MS = 10_000
POLL_S = 0.05


class FarmStore:
    """`store` as the one of the farm that has this ledger. Raises StoreError and BrokerError."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger
        self.broker = ledger.broker
        self._looked_at = -LOOK_IDLY_EVERY_S
        self._refused: StoreForeign | None = None
        #: For which id of the farm's store a look last went well, and which one was heard since.
        self.checked_id = ""
        self._heard_id = ""

    def check(self) -> bool:
        """True for the farm's store, whose id the broker has. Only then is what is missing gone.

        False where the broker knows of no store, as before the first order and after it lost
        everything; that says nothing against this one, unless it was refused before. Raises
        StoreForeign for another store.
        """
        known = self._known()
        if not known and self._refused:
            raise StoreForeign(self._refused.message, hint=self._refused.hint)
        self._refused = None
        if known and read_store_id(self.store) != known:
            self._refused = self._foreign(known)
            raise self._refused
        self.checked_id = self._heard_id = known
        return bool(known)

    def check_if_due(self, *, idle: bool = False) -> bool:
        """`check`, unless that went well within the last LOOK_EVERY_S, or LOOK_IDLY_EVERY_S, and
        no other id was `heard` since; whether it looked."""
        every_s = LOOK_IDLY_EVERY_S if idle else LOOK_EVERY_S
        as_before = self._heard_id == self.checked_id
        if as_before and time.monotonic() < self._looked_at + every_s:
            return False
        self.check()
        self._looked_at = time.monotonic()
        return True

    def heard(self, known: str) -> None:
        """The broker knows the farm's store by this id: another one than before is looked at when
        `check_if_due` is called next."""
        self._heard_id = known

    def other_url(self) -> str:
        """Where the farm's store is, if it is not this one; else ""."""
        known = self._known()
        return self._url() if known and read_store_id(self.store) != known else ""

    def probe(self) -> None:
        """Raises StoreError unless the store is the farm's, answers, and grants everything."""
        self.check()
        self.store.probe()

    def adopt(self, *, forget_other: bool = False) -> list[str]:
        """Make the store the farm's, with an id if it has none.

        Raises StoreForeign while the farm has unfinished batches from another store, unless
        `forget_other`: then the broker forgets them, and their store keeps what it has. The ids
        of those.
        """
        known = self._known()
        if known and read_store_id(self.store) == known:
            return []
        with self._alone():
            return self._adopt(forget_other=forget_other)

    def _adopt(self, *, forget_other: bool) -> list[str]:
        known, own = self._known(), read_store_id(self.store)
        if known == own and own:
            return []
        unfinished = self.ledger.active() if known else []
        if unfinished and not forget_other:
            raise self._foreign(known)
        for batch_id in unfinished:
            self.ledger.drop(batch_id)
        store_id = own or uuid.uuid4().hex
        if own is None:
            write_store_id(self.store, store_id)
        with self.broker.errors():
            self.broker.redis.hset(NAME, mapping={"id": store_id, "url": self.store.url})
        return unfinished

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: two that found no id would make two."""
        while not self.broker.once("adopt", every_ms=ADOPTING_MS):
            time.sleep(POLL_S)
        try:
            yield
        finally:
            self.broker.not_any_more("adopt")

    def _known(self) -> str:
        """The id of the farm's store; "" where the broker knows of none."""
        with self.broker.errors():
            value = cast("bytes | None", self.broker.redis.hget(NAME, "id"))
        return (value or b"").decode(errors="replace")

    def _url(self) -> str:
        with self.broker.errors():
            value = cast("bytes | None", self.broker.redis.hget(NAME, "url"))
        return (value or b"").decode(errors="replace")

    def _foreign(self, known: str) -> StoreForeign:
        here, there, own = self.store.url, self._url(), read_store_id(self.store)
        same = "which has the same name: on another machine, or before this one was emptied"
        which = same if there == here else f"which is {there}"
        what = (
            f"its store.json has the id {own[:8]}…, and the farm's {known[:8]}…"
            if own
            else "nothing was ever ordered in it: is it empty, or not mounted?"
        )
        return StoreForeign(
            f"{here} is not the store of the farm on {self.broker.place}, {which}; {what}",
            hint="set GRIDFARM_STORE to the farm's store (a folder must be one that all machines"
            " share), or GRIDFARM_BROKER to a broker of its own (redis://host:6379/1); if the farm"
            " has moved here for good: gridfarm doctor --adopt-store",
        )
