"""TODO."""

from __future__ import annotations

from common.dispatch.dispatcher import (
    Control,
    Dispatcher,
    cell_of_failure,
    new_control,
    opening,
    read_batch,
    read_control,
    read_done,
    read_failures,
    write_control,
)
from common.dispatch.ledger import (
    LEASE_MS,
    PRIORITIES,
    PROBE,
    UNFINISHED,
    Ledger,
    LedgerStatus,
    State,
    WorkerReport,
    bitmap,
    is_set,
)
from common.dispatch.queues import TASK_NAME, celery_app, queue_name, queue_of

__all__ = [
    "LEASE_MS",
    "PRIORITIES",
    "PROBE",
    "TASK_NAME",
    "UNFINISHED",
    "Control",
    "Dispatcher",
    "Ledger",
    "LedgerStatus",
    "State",
    "WorkerReport",
    "bitmap",
    "celery_app",
    "cell_of_failure",
    "is_set",
    "new_control",
    "opening",
    "queue_name",
    "queue_of",
    "read_batch",
    "read_control",
    "read_done",
    "read_failures",
    "write_control",
]
