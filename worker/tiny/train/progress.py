"""How far the training is: a line on stderr every ten seconds, and one at each end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TypeVar

#: Seconds between two lines.
EVERY = 10.0

Part = TypeVar("Part")


class Progress:
    """Of `total` steps or parts, of which `done` are there at the start."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total = name, total
        self._said, self._at = done, time.monotonic()

    def show(self, done: int, more: str = "") -> None:
        """Say so with rate and time left, if it is time to."""
        seconds = time.monotonic() - self._at
        if seconds < EVERY and done < self._total:
            return
        rate = (done - self._said) / max(seconds, 1e-9)
        left = (self._total - done) / rate / 60
        print(
            f"{self._name}: {done:,} of {self._total:,}{more}, {rate:.1f} a second, "
            f"{left:.1f} minutes left",
            file=sys.stderr,
            flush=True,
        )
        self._said, self._at = done, time.monotonic()


def counted(name: str, parts: Iterable[Part], total: int) -> list[Part]:
    """All parts, each shown as it comes."""
    progress, found = Progress(name, total), []
    for part in parts:
        found.append(part)
        progress.show(len(found))
    return found
