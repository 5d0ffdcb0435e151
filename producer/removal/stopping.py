"""No cell of batches that are removed is sent any more, and none runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from common.dispatch import LEASE_MS, UNFINISHED, Ledger
from producer.progress import Say
from producer.wording import counted

STOPPED_AFTER_S = LEASE_MS / 1000 + 5
POLL_S = 0.25


def stop_cells(
    batches: Collection[str], ledger: Ledger | None, say: Say, check: Callable[[], None]
) -> None:
    """Cancel them in the ledger and wait until no cell of them runs. `check` is called before
    each is cancelled. Raises BrokerError, and what `check` raises."""
    if ledger is None:
        return
    for batch_id in batches:
        check()
        _cancel(batch_id, ledger)
    wait_for_cells(batches, ledger, say)


def wait_for_cells(batches: Collection[str], ledger: Ledger | None, say: Say) -> None:
    """Until no cell of them runs; at most STOPPED_AFTER_S, since one that another batch waits for
    is finished. Raises BrokerError."""
    if ledger is None:
        return
    deadline = time.monotonic() + STOPPED_AFTER_S
    while running := sum(_running(batch_id, ledger) for batch_id in batches):
        if time.monotonic() > deadline:
            return
        say(f"waiting for {counted(running, 'running cell')} to stop")
        time.sleep(POLL_S)


def _cancel(batch_id: str, ledger: Ledger) -> None:
    entry = ledger.status(batch_id)
    if entry and entry.state in UNFINISHED:
        generation = entry.generation + 1
        ledger.control(batch_id, generation=generation, state="cancelled", priority=entry.priority)


def _running(batch_id: str, ledger: Ledger) -> int:
    entry = ledger.status(batch_id)
    return entry.running if entry else 0
