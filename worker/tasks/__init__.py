"""What a worker process does with one message: a cell is claimed, rendered, stored, reported.

    protocol.py        what a task needs of a renderer; ShuttingDown and CellAborted
    leases.py          Identity, Lease, and LeaseKeeper, which renews all of them
    in_hand.py         InHand: claimed cells, and how they leave: done, failed, handed back
    step_timer.py      StepTimer: what still fits before the machine is taken
    watchdog.py        Watchdog: ends the process when a render makes no progress
    gpu.py             Gpu: threads take turns; a turn is an attempt that is recorded
    failure_policy.py  FailurePolicy: what a failure means
    store_outage.py    StoreOutage: waits until the store answers again
    uploader.py        Uploader: finished pictures on their way into the store
    matrices.py        Matrices: the cells of the batches that it works on
    attempt.py         Attempt: one cell's picture, drawn and stored
    cell_task.py       CellTask: claim → look in the store → attempt → report

Of these only `attempt` and `cell_task` know that a cell is a picture.
"""

from __future__ import annotations

from worker.tasks.cell_task import CellTask
from worker.tasks.failure_policy import FailurePolicy
from worker.tasks.gpu import Gpu
from worker.tasks.in_hand import InHand
from worker.tasks.leases import Identity, LeaseKeeper
from worker.tasks.protocol import CellAborted, RendersJobs, ShuttingDown
from worker.tasks.store_outage import StoreOutage
from worker.tasks.watchdog import Watchdog

__all__ = [
    "CellAborted",
    "CellTask",
    "FailurePolicy",
    "Gpu",
    "Identity",
    "InHand",
    "LeaseKeeper",
    "RendersJobs",
    "ShuttingDown",
    "StoreOutage",
    "Watchdog",
]
