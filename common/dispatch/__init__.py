"""Batches on their way to the workers: the truth in the store, the traffic in Redis, and the loop
that keeps the two together.

    states         what a batch may be doing, and its priority
    records        its documents in the store: the truth
    bitmap         sets of cells as bits
    ledger         each step of a batch's progress in Redis; `lua/` is what it does there
    workers        who is alive
    turns          which of many processes does what is due
    queues         the queues' names, and Celery's settings
    farm_store     whether a store is the one that the farm works with
    rebuild        from the store to the ledger: what Redis forgot, what it was not told
    ending         from the ledger to the store: how a batch ended
    dispatcher     feed the queues, and all of the above when it is due
"""

from __future__ import annotations

from common.dispatch.bitmap import bitmap_of, is_set
from common.dispatch.dispatcher import Dispatcher
from common.dispatch.ending import Ending
from common.dispatch.farm_store import FarmStore
from common.dispatch.ledger import LEASE_MS, Ledger, LedgerStatus
from common.dispatch.queues import TASK_NAME, celery_app, queue_kind, queue_name, queue_of
from common.dispatch.rebuild import opening
from common.dispatch.records import (
    Control,
    cell_of_failure,
    mark_active,
    new_control,
    read_batch,
    read_control,
    read_control_if_any,
    read_done,
    read_failures,
    write_control,
    write_failure,
)
from common.dispatch.states import PRIORITIES, UNFINISHED, State
from common.dispatch.workers import WorkerRegister, WorkerReport

__all__ = [
    "LEASE_MS",
    "PRIORITIES",
    "TASK_NAME",
    "UNFINISHED",
    "Control",
    "Dispatcher",
    "Ending",
    "FarmStore",
    "Ledger",
    "LedgerStatus",
    "State",
    "WorkerRegister",
    "WorkerReport",
    "bitmap_of",
    "celery_app",
    "cell_of_failure",
    "is_set",
    "mark_active",
    "new_control",
    "opening",
    "queue_kind",
    "queue_name",
    "queue_of",
    "read_batch",
    "read_control",
    "read_control_if_any",
    "read_done",
    "read_failures",
    "write_control",
    "write_failure",
]
