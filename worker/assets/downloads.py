"""What a process is downloading and how far: counted where bytes move, read by the heartbeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Takes the number of bytes that have come since the last call.
Count = Callable[[int], None]

GB, MB = 1_000_000_000, 1_000_000


class DownloadStopped(Exception):
    """The process is ending, and nobody waits for the rest of the download."""


@dataclass(eq=False)
class Download:
    """`total` and `done` are bytes."""

    name: str
    total: int
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count

    def __str__(self) -> str:
        """`stabilityai/stable-diffusion-xl-base-1.0, 3.2 of 6.9 GB`; crumbs without figures."""
        if self.total < MB:
            return self.name
        unit, size, digits = ("GB", GB, 1) if self.total >= GB else ("MB", MB, 0)
        done = min(self.done, self.total)
        return f"{self.name}, {done / size:.{digits}f} of {self.total / size:.{digits}f} {unit}"


class Downloads:
    """The downloads of all threads of a process."""

    def __init__(self) -> None:
        self._running: list[Download] = []
        self._stopping = threading.Event()

    @contextmanager
    def follow(self, name: str, total: int) -> Iterator[Count]:
        """Yield what is to be called with each piece; it raises DownloadStopped
        once `stop` was called."""
        download = Download(name, total)

        def count(size: int) -> None:
            if self._stopping.is_set():
                raise DownloadStopped
            download.add(size)

        self._running.append(download)
        try:
            yield count
        finally:
            self._running.remove(download)

    def stop(self) -> None:
        """End every download at its next piece; files that are whole are kept."""
        self._stopping.set()

    def __str__(self) -> str:
        """The one that began first, "" if there is none."""
        return next((str(download) for download in tuple(self._running)), "")
