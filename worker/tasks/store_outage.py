"""A worker whose store has trouble takes no work until it is over."""

from __future__ import annotations

import logging
import threading
import time

from common.errors import StoreError
from common.store import Store

log = logging.getLogger(__name__)

PROBE_AFTER_S = (2, 5, 10, 20, 30)


class StoreOutage:
    """`reason` is "" unless the worker waits for the store; `lasted_s` are the seconds of the
    outages that are over, since a picture was stored. `closing` ends the waiting."""

    def __init__(self, store: Store, closing: threading.Event) -> None:
        self.store = store
        self.closing = closing
        self.reason = ""
        self.lasted_s = 0.0
        self._probes = 0
        self._probing = threading.Lock()

    def wait(self, error: StoreError) -> None:
        """Until the store answers. One thread asks, the others wait for it."""
        self.reason = error.message
        with self._probing:
            if not self.reason:
                return
            log.error("paused: %s", error.message)
            began = time.monotonic()
            while not self.closing.wait(self._next_s()):
                if self._store_answers():
                    log.info("the store answers again")
                    self.lasted_s += time.monotonic() - began
                    return

    def forget(self) -> None:
        """A picture was stored: all is well."""
        self._probes, self.lasted_s = 0, 0.0

    def _next_s(self) -> float:
        """They grow until a picture is stored: where the probe's few bytes have room, or go to
        a place that may be written, a picture may still have none."""
        self._probes += 1
        return PROBE_AFTER_S[min(self._probes, len(PROBE_AFTER_S)) - 1]

    def _store_answers(self) -> bool:
        try:
            self.store.probe()
        except StoreError as error:
            self.reason = error.message
            return False
        self.reason = ""
        return True
