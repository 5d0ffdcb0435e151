"""A worker whose store has trouble, or is not the farm's, takes no work until it is over."""

from __future__ import annotations

import logging
import threading
import time

from common.dispatch import FarmStore
from common.errors import BrokerError, StoreError

log = logging.getLogger(__name__)

PROBE_AFTER_S = (2.0, 5.0, 10.0, 20.0, 30.0)


class StoreOutage:
    """`reason` is "" unless the worker waits for the store; `lasted_s` are the seconds of the
    outages that are over, since a picture was stored. `closing` ends the waiting."""

    def __init__(self, farm_store: FarmStore, closing: threading.Event) -> None:
        self.farm_store = farm_store
        self.closing = closing
        self.reason = ""
        self.lasted_s = 0.0
        self._began = 0.0
        self._probes = 0
        self._looks = 0  # in a row that found trouble, which only they know of
        self._probing = threading.Lock()

    def wait_for_farm_store(self) -> None:
        """Before work: until the store is the farm's, and answers. Raises BrokerError."""
        try:
            self.farm_store.check_if_due()
        except StoreError as error:
            self._begin(error)
        self.wait_until_over()

    def wait(self, error: StoreError) -> None:
        """Until the store answers. One thread asks, the others wait for it."""
        self._begin(error)
        self.wait_until_over()

    def wait_until_over(self) -> None:
        """Return at once where there is no trouble."""
        if not self.reason:
            return
        with self._probing:
            while self.reason and not self.closing.wait(self._next_s()):
                self._ask()

    def look(self) -> float | None:
        """On a timer, for a worker that has nothing to do: is the store there, and still the
        farm's? After how many seconds to look again, None for as soon as usual; what a task found
        is left to the task. Raises BrokerError."""
        if self._probing.locked() or (self.reason and not self._looks):
            return None
        try:
            if self.farm_store.check_if_due(idle=not self.reason):
                self.reason, self._looks = "", 0
        except StoreError as error:
            self._begin(error)
            self._looks += 1
        return _pause_s(self._looks) if self._looks else None

    def forget(self) -> None:
        """A picture was stored: all is well."""
        self._probes, self.lasted_s = 0, 0.0

    def _begin(self, error: StoreError) -> None:
        if not self.reason:
            log.error("paused: %s", error.message)
            if error.hint:
                log.error("  %s", error.hint)
            self._began = time.monotonic()
        self.reason = error.message

    def _next_s(self) -> float:
        """They grow until a picture is stored: where the probe's few bytes have room, or go to
        a place that may be written, a picture may still have none."""
        self._probes += 1
        return _pause_s(self._probes)

    def _ask(self) -> None:
        try:
            self.farm_store.probe()
        except (StoreError, BrokerError) as error:
            self.reason = error.message
            return
        log.info("the store answers again")
        self._looks = 0
        self.lasted_s += time.monotonic() - self._began
        self.reason = ""


def _pause_s(times: int) -> float:
    return PROBE_AFTER_S[min(times, len(PROBE_AFTER_S)) - 1]
