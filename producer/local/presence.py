"""One render at a time works on a store from this machine, and others see it.

Whoever renders holds a lock on a file in the cache, which a dead process cannot hold, and writes
into it where its broker is. A second render gives that broker its batch; `status` and `watch` ask
it. The file is for this user alone, since the broker's password is in it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.broker import Broker
from common.dispatch import Ledger
from common.errors import BrokerEnded, BrokerError, UsageError
from producer.catalogue import one_name

FOLDER = "renders"
#: A presence is a few hundred bytes.
LONGEST = 10_000


@dataclass(frozen=True)
class Presence:
    """The file by which the renders on one store know of each other."""

    path: Path

    @classmethod
    def of(cls, store_url: str, cache_dir: Path) -> Presence:
        name = hashlib.sha256(one_name(store_url).encode()).hexdigest()[:24]
        return cls(cache_dir / FOLDER / f"{name}.json")

    @contextmanager
    def held(self) -> Iterator[Held | None]:
        """Until the block ends no other render works on this store; None where another does.
        Raises UsageError for a cache that cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(
                f"cannot write {self.path}: {error.strerror}", hint="choose another --cache"
            ) from error
        with os.fdopen(handle, "r+") as file:
            if not _locked(file.fileno(), fcntl.LOCK_EX):
                yield None
                return
            held = Held(file.fileno())
            try:
                yield held
            finally:
                held.clear()

    def look(self) -> OtherRender | None:
        """Who is at work; None for nobody, and for one that is not so far that it can be asked."""
        with suppress(OSError), self.path.open() as file:
            if _locked(file.fileno(), fcntl.LOCK_SH):
                return None
            with suppress(ValueError, TypeError, KeyError):
                said = json.loads(file.read(LONGEST))
                return OtherRender(int(said["pid"]), str(said["broker"]), self)
        return None


@dataclass(frozen=True)
class Held:
    """The lock, as long as its block lasts."""

    handle: int

    def announce(self, broker: Broker) -> None:
        """Say where this render's broker is."""
        self.clear()
        os.pwrite(self.handle, json.dumps({"pid": os.getpid(), "broker": broker.url}).encode(), 0)

    def clear(self) -> None:
        os.ftruncate(self.handle, 0)


@dataclass(frozen=True)
class OtherRender:
    """A render of another process of this machine, at work on the store."""

    pid: int
    broker_url: str
    presence: Presence

    @property
    def ledger(self) -> Ledger:
        """Of its broker. Once the render has ended, what is asked of it raises BrokerEnded."""
        return Ledger(_ItsBroker(self))


class _ItsBroker(Broker):
    def __init__(self, other: OtherRender) -> None:
        super().__init__(other.broker_url)
        self._other = other

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            with super().errors():
                yield
        except BrokerError as error:
            if self._other.presence.look() != self._other:
                raise BrokerEnded(
                    f"the render that was at work here (process {self._other.pid}) has ended"
                ) from error
            raise


def _locked(handle: int, kind: int) -> bool:
    """Lock a file, if that can be had at once, or if its file system has no locks. It is let go
    when the file is closed."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
    return True
