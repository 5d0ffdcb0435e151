"""TODO."""

from __future__ import annotations

from worker.supervisor.exit_codes import LEFT, RESTART, STALLED, UNFIT
from worker.supervisor.launcher import Launcher, Slot

__all__ = [
    "LEFT",
    "RESTART",
    "STALLED",
    "UNFIT",
    "Launcher",
    "Slot",
]
