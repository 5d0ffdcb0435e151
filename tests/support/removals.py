"""Removals and submits beside each other, each on a store of its own, as two machines have it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from common.batch import Batch
from common.dispatch import Ledger
from common.store import Store
from producer.batches import Removal
from producer.removal import Announcements, read_intents
from producer.submission import Resolved, SubmitReport, submit

#: Seconds that a test waits for the other side.
MOMENT_S = 20


class Held:
    """A store whose first deletion of an object of this ending waits, as a slow one might."""

    def __init__(self, store: Store, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        delete = store.delete

        def holding(name: str) -> None:
            if name.endswith(ending):
                self.reached.set()
                assert self.go_on.wait(MOMENT_S)
            delete(name)

        monkeypatch.setattr(store, "delete", holding)


def removal_of(store: Store, ledger: Ledger | None, *batches: Batch) -> Removal:
    """On a store of its own, as another machine has it."""
    return Removal({batch.id: batch for batch in batches}, store, ledger, print)


def order(
    batch: Batch, store: Store, ledger: Ledger, say: Callable[[str], None] = print
) -> SubmitReport:
    return submit(Resolved(batch), store, ledger, say=say)


def nothing_is_under_way(store: Store, ledger: Ledger | None = None) -> bool:
    return not read_intents(store, Announcements(ledger)) and not [*store.list("removing/")]
