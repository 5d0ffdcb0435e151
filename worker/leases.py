"""Keeps the leases of the cells that this process has in hand, while they wait, load or render."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.errors import BrokerError
from common.ledger import LEASE_MS, Ledger

log = logging.getLogger(__name__)
RENEW_EVERY_S = LEASE_MS / 1000 / 3


@dataclass(eq=False)
class Lease:
    """A claimed cell. `stop` is set when the ledger says that it is no longer wanted here;
    `charged` is (attempts, different machines) once this attempt has been charged."""

    batch_id: str
    i: int
    key: str
    charged: tuple[int, int] | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class LeaseKeeper(threading.Thread):
    """One thread that renews every lease of the process."""

    def __init__(self, ledger: Ledger, worker: str, *, every_s: float = RENEW_EVERY_S) -> None:
        super().__init__(name="leases", daemon=True)
        self.ledger = ledger
        self.worker = worker
        self.every_s = every_s
        self._held: set[Lease] = set()
        self._closing = threading.Event()

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Lease]:
        self._held.add(lease)
        try:
            yield lease
        finally:
            self._held.discard(lease)

    @property
    def held(self) -> int:
        return len(self._held)

    def stop_all(self) -> None:
        """Ask every cell in hand to be handed back."""
        for lease in tuple(self._held):
            lease.stop.set()

    def run(self) -> None:
        while not self._closing.wait(self.every_s):
            for lease in tuple(self._held):
                self._renew(lease)

    def close(self) -> None:
        self._closing.set()

    def _renew(self, lease: Lease) -> None:
        try:
            kept = self.ledger.renew(lease.batch_id, lease.i, lease.key, self.worker)
        except BrokerError as error:
            # Rendering goes on: should another worker take the cell, equal keys are harmless.
            log.warning("lease of %s #%d not renewed: %s", lease.batch_id, lease.i, error)
            return
        if not kept and lease in self._held:
            lease.stop.set()
