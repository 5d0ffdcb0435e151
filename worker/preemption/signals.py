"""The signals that ask a process to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def heed_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Call `handler` for SIGTERM, for SIGINT, and for SIGHUP, which a closed terminal sends,
    unless `nohup` keeps that off. Call this in the main thread."""
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)
