"""The sign of life of a removal: a small object that its owner rewrites every BEAT_EVERY_S.

Whoever waits judges by its own clock whether the object changes; no two clocks are compared.
Times are far enough apart that a removal which was taken for dead deletes nothing afterwards:

- its owner deletes only while its last beat is younger than FENCE_S, else it looks first whether
  the beat is still its own;
- others take it over when the beat has stood still for STILL_S, by a beat of theirs that still
  stands SETTLE_S later, which no living owner lets happen.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from common.errors import GridfarmError, ObjectMissing, StoreError, StoreFull
from common.store import Store, object_names

BEAT_EVERY_S = 2.0
FENCE_S = 10.0
STILL_S = 30.0
#: More than two beats.
SETTLE_S = 5.0


class Overtaken(GridfarmError):
    """This process stood still, and somebody else ends its removal. `late` are the keys whose
    deletion was on its way meanwhile, and may have come after that end."""

    def __init__(self, late: Collection[str] = ()) -> None:
        super().__init__(
            "this removal stood still, and another command has taken it over",
            hint="gridfarm list says what is left of it",
        )
        self.late = frozenset(late)


class Beat:
    """A process' own beat of the removal `token`, made when that begins or is taken over."""

    def __init__(self, store: Store, token: str) -> None:
        self.store = store
        self.name = object_names.removal_beat(token)
        self._owner, self._count = uuid.uuid4().hex, 0
        self._at = _clocks()
        self._lost = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """The first beat, of a new removal. Raises StoreError."""
        self._put()

    def take_over(self) -> bool:
        """The first beat, of a removal that has none; False where somebody else beats. Takes
        SETTLE_S. Raises StoreError."""
        self._put()
        time.sleep(SETTLE_S)
        return self._is_mine()

    @contextmanager
    def going(self) -> Iterator[None]:
        """Beats until the block ends. Where it fails, the removal is let go: whoever meets it
        need not wait to see that nobody is at it."""
        ended = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            ended.set()
            thread.join()
            with suppress(StoreError):
                self.stop()
            raise
        ended.set()
        thread.join()

    def stop(self) -> None:
        """No beat any more. Raises StoreError."""
        if not self._lost:
            self.store.delete(self.name)

    def check(self) -> None:
        """Before each deletion. Raises StoreError and Overtaken."""
        if _since(self._at) > FENCE_S and not self._lost:
            self._renew()
        if self._lost:
            raise Overtaken

    def _go_on(self, ended: threading.Event) -> None:
        while not (ended.wait(BEAT_EVERY_S) or self._lost):
            with suppress(StoreError):  # `check` raises it, once it matters
                self._renew()

    def _renew(self) -> None:
        with self._lock:
            before, looked = self._at, _clocks()
            self._lost = self._lost or not self._is_mine()
            if self._lost:
                return
            with suppress(StoreFull):  # deleting is what such a store is waiting for
                self._put()
            if _since(before) > STILL_S and _since(looked) > SETTLE_S:
                self._let_go()
            self._at = looked

    def _let_go(self) -> None:
        """It stood still between the look and the writing, long enough for somebody to take the
        removal over and end it: this beat is then of nothing any more."""
        self._lost = True
        with suppress(StoreError):
            self.store.delete(self.name)

    def _put(self) -> None:
        self.store.put(self.name, f"{self._owner} {self._count + 1}".encode())
        self._count += 1

    def _is_mine(self) -> bool:
        return (read_beat(self.store, self.name) or b"").startswith(self._owner.encode())


class Watch:
    """Somebody else's beat, seen by this process' clock. Raises StoreError."""

    def __init__(self, store: Store, token: str) -> None:
        self.store = store
        self.name = object_names.removal_beat(token)
        self.changed = False
        self._last = read_beat(store, self.name)
        self._since = time.monotonic()

    def stands_still(self) -> bool:
        """Whether there is none, or it has not changed for STILL_S."""
        beat = read_beat(self.store, self.name)
        if beat != self._last:
            self.changed, self._last, self._since = True, beat, time.monotonic()
        return beat is None or time.monotonic() - self._since > STILL_S


def read_beat(store: Store, name: str) -> bytes | None:
    """None where there is none. Raises StoreError."""
    try:
        return store.get(name)
    except ObjectMissing:
        return None


def _clocks() -> tuple[float, float]:
    """Of this machine: one that may stop while it sleeps, and one that may be set."""
    return time.monotonic(), time.time()


def _since(then: tuple[float, float]) -> float:
    """Seconds by the clock that says more."""
    return max(now - before for now, before in zip(_clocks(), then, strict=True))
