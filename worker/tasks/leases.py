"""Keeps the leases of the cells that this process has in hand, while they wait, load or render."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.dispatch import LEASE_MS, Ledger
from common.errors import BrokerError
from worker.tasks.protocol import CellAborted

log = logging.getLogger(__name__)
RENEW_EVERY_S = LEASE_MS / 1000 / 3


@dataclass(frozen=True)
class Identity:
    """Who renders: a process of its own name on a machine."""

    worker: str
    machine: str


@dataclass(eq=False)
class Lease:
    """A claimed cell. `has_attempts` says that attempts were charged before; `stop` is set when
    it is no longer wanted here; `reached_gpu` says that its turn on the GPU has begun,
    `last_step_at` when its latest step ended (of time.monotonic()), `ended` that it was settled
    or handed back. `lock` keeps a renewal from taking back what was just handed back."""

    batch_id: str
    i: int
    key: str
    has_attempts: bool = False
    reached_gpu: bool = False
    last_step_at: float = 0.0
    ended: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check_wanted(self) -> None:
        """Raises CellAborted for a cell that is no longer wanted here."""
        if self.stop.is_set():
            raise CellAborted

    def __str__(self) -> str:
        return f"{self.batch_id} #{self.i}"


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
    def held(self) -> tuple[Lease, ...]:
        """What is in hand, without what other threads have handed back for its own."""
        return tuple(lease for lease in tuple(self._held) if not lease.ended)

    def stop_all(self) -> None:
        """Ask every cell in hand to be handed back."""
        for lease in self.held:
            lease.stop.set()

    def run(self) -> None:
        while not self._closing.wait(self.every_s):
            for lease in self.held:
                self._renew(lease)

    def close(self) -> None:
        self._closing.set()

    def _renew(self, lease: Lease) -> None:
        with lease.lock:
            if lease.ended:
                return
            try:
                kept = self.ledger.renew(lease.batch_id, lease.i, lease.key, self.worker)
            except BrokerError as error:
                # Rendering goes on: should another worker take the cell, equal keys are harmless.
                log.warning("lease of %s not renewed: %s", lease, error)
                return
            if not kept:
                lease.stop.set()
