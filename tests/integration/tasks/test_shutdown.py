"""The process ends while it has cells in hand: what fits is finished, the rest goes back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from common.dispatch import Ledger, queue_name
from tests.support.cell_tasks import BATCH, cell, counts, run
from worker.preemption import Notice
from worker.tasks import ShuttingDown

pytestmark = pytest.mark.integration


def test_hand_back_puts_running_cells_back(worker: Any, ledger: Ledger) -> None:
    """Ctrl-C: no attempt is charged, and the next worker gets the cell."""
    task = worker()
    task.attempt.renderer.script.append(task.in_hand.hand_back_all)
    run(task)
    assert counts(ledger) == (0, 0)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"
    assert ledger.record_attempt(BATCH.id, 0, "m2", "w2") == (1, 1)


@pytest.mark.parametrize(("seconds", "stored"), [(60, 1), (0, 0)], ids=["fits", "does not"])
def test_on_notice_a_render_ends_if_it_fits(
    worker: Any, ledger: Ledger, seconds: float, stored: int
) -> None:
    """Else it stops at its next step, uncharged, and is sent again at once."""
    task = worker()
    task.attempt.renderer.script.append(
        lambda: task.in_hand.leave(Notice.within(seconds, "the cloud takes it"))
    )
    run(task)
    assert counts(ledger) == (stored, 0)
    if not stored:
        assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"
        assert ledger.record_attempt(BATCH.id, 0, "m2", "w2") == (1, 1)


def test_on_notice_what_waits_for_the_gpu_goes_back_at_once(worker: Any, ledger: Ledger) -> None:
    """Not when the render before it has ended; and no late renewal takes it back."""
    task, seen = worker(), []
    waiter = threading.Thread(target=run, args=(task, 1))

    def leave() -> None:
        waiter.start()
        while len(task.in_hand.leases.held) < 2:
            threading.Event().wait(0.01)
        (waiting,) = (lease for lease in task.in_hand.leases.held if lease.i == 1)
        task.in_hand.leave(Notice.within(60, "the cloud takes it"))
        task.in_hand.leases._renew(waiting)
        seen.append(ledger.claim(BATCH.id, 1, 0, cell(1).key, "w2"))

    task.attempt.renderer.script.append(leave)
    run(task)
    waiter.join(10)
    assert (seen, task.attempt.renderer.rendered, counts(ledger)) == (["ok"], 1, (1, 0))
    assert ledger.renew(BATCH.id, 1, cell(1).key, "w2"), "the thread took nothing from w2"


def test_a_task_that_comes_too_late_goes_back_to_the_queue(worker: Any, ledger: Ledger) -> None:
    task = worker()
    task.in_hand.close()
    with pytest.raises(ShuttingDown):
        run(task)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"


def test_what_cannot_be_stopped_is_abandoned(worker: Any, ledger: Ledger) -> None:
    """The process' last words before os._exit: the cell is free while its thread still hangs."""
    task, seen = worker(), []

    def hang() -> None:
        task.in_hand.abandon()
        seen.append(ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2"))
        seen.append(ledger.record_attempt(BATCH.id, 0, "m2", "w2"))

    task.attempt.renderer.script.append(hang)
    run(task)
    assert seen == ["ok", (1, 1)]


def test_a_stalled_render_keeps_its_charge(worker: Any, ledger: Ledger) -> None:
    task, seen = worker(), []

    def hang() -> None:
        before = ledger.redis.llen(queue_name())
        task.in_hand.stalled()
        assert ledger.redis.llen(queue_name()) == before, "nothing is sent to a process that ends"
        ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2")
        seen.append(ledger.record_attempt(BATCH.id, 0, "m2", "w2"))

    task.attempt.renderer.script.append(hang)
    run(task)
    assert seen == [(2, 2)]
