"""TODO."""

from __future__ import annotations

from worker.tasks.cell_task import CellTask, Leaving, RendersJobs
from worker.tasks.failure_policy import Identity
from worker.tasks.leases import LeaseKeeper
from worker.tasks.watchdog import Watchdog

__all__ = [
    "CellTask",
    "Identity",
    "LeaseKeeper",
    "Leaving",
    "RendersJobs",
    "Watchdog",
]
