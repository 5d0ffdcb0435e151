"""An attempt fails: the cell is at fault, or the machine, or nobody yet."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from common.batch import Axis, Batch, RangeAxis, Value
from common.dispatch import Dispatcher, Ledger, WorkerReport, queue_name
from common.errors import (
    BadInput,
    SuspectPicture,
)
from common.store import Store, object_names
from producer.submission import Resolved, submit
from tests.support.cell_tasks import BATCH, cell, counts, raising, run
from worker.tasks.failure_policy import BAD_AFTER

pytestmark = pytest.mark.integration


def test_bad_input_fails_its_cell_at_once(worker: Any, folder: Store, ledger: Ledger) -> None:
    """The reason is in the ledger and, for the day Redis is wiped, in the store."""
    task = worker(raising(BadInput("the LoRA 'wrong' fits no layer")))
    run(task, 0)
    run(task, 1)
    assert counts(ledger) == (1, 1)
    assert ledger.failures(BATCH.id) == {0: "the LoRA 'wrong' fits no layer"}
    note = json.loads(folder.get(object_names.failure(BATCH.id, 0)))
    assert (note["reason"], note["key"]) == ("the LoRA 'wrong' fits no layer", cell(0).key)


def test_a_cell_that_cannot_be_fails_alone(worker: Any, folder: Store, ledger: Ledger) -> None:
    """In a batch too large to look at each cell beforehand; its neighbours are rendered, and
    the batch can end."""
    variants = (Value(label=name, settings={"prompt": text}) for name, text in
                (("good", "a wolf"), ("bad", "a {beast}")))  # fmt: skip
    seeds = RangeAxis(name="seed", first="0", last="9999")
    big = BATCH.model_copy(update={"axes": (seeds, Axis(name="variant", values=tuple(variants)))})
    submit(Resolved(big), folder, ledger)
    task = worker()
    task(big.id, 0, 0)
    task(big.id, 1, 0)
    assert ledger.failures(big.id) == {
        1: "cell 1 (seed 0, variant bad): there is no word {beast}; double literal braces"
    }
    assert [ledger.status(big.id).done, ledger.status(big.id).failed] == [1, 1]  # type: ignore[union-attr]
    Dispatcher(folder, ledger, [queue_name()]).ending.finish(big.id)
    first, second = folder.get(object_names.cells(big.id)).splitlines()[:2]
    assert json.loads(first)["key"] and json.loads(second)["key"] is None


def test_three_attempts_on_the_only_machine_fail_a_cell(worker: Any, ledger: Ledger) -> None:
    task = worker(*[raising(RuntimeError("device-side assert"))] * 3)
    for _ in range(3):
        assert counts(ledger) == (0, 0)
        run(task)
    assert counts(ledger) == (0, 1)
    assert "device-side assert (after 3 attempts)" in ledger.failures(BATCH.id)[0]


def test_one_bad_machine_of_two_fails_no_cell(worker: Any, ledger: Ledger) -> None:
    """Three attempts on one machine are not enough while another lives."""
    bad = worker(*[raising(RuntimeError("bad memory"))] * 4, name="w1", machine="m1")
    good = worker(name="w2", machine="m2")
    for _ in range(4):
        run(bad)
    assert counts(ledger) == (0, 0)
    run(good)
    assert counts(ledger) == (1, 0)


def test_a_black_picture_needs_a_second_worker(worker: Any, ledger: Ledger) -> None:
    black = raising(SuspectPicture("the picture is black"))
    first, second = worker(black, name="w1"), worker(black, name="w2")
    run(first)
    assert counts(ledger) == (0, 0)
    run(first)  # the same worker does not try again, nor agree with itself
    assert (first.attempt.renderer.rendered, counts(ledger)) == (1, (0, 0))
    run(second)
    assert counts(ledger) == (0, 1)
    assert ledger.failures(BATCH.id)[0] == "the picture is black (two workers agree)"


def test_a_second_worker_can_save_a_black_picture(worker: Any, ledger: Ledger) -> None:
    run(worker(raising(SuspectPicture("NaN in the latents")), name="w1"))
    run(worker(name="w2"))
    assert counts(ledger) == (1, 0)


def test_a_lone_worker_starts_afresh_to_judge(worker: Any, ledger: Ledger) -> None:
    task = worker(raising(SuspectPicture("the picture is black")))
    run(task)
    assert task.restarts.is_set()
    ledger.workers.leave("w1")
    fresh = worker(raising(SuspectPicture("the picture is black")), name="w1-again")
    run(fresh)
    assert counts(ledger) == (0, 1)


def attempted(ledger: Ledger, machine: str) -> None:
    """Cell 0 on the GPU of a process that was killed."""
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "gone") in ("ok", "tried")
    assert ledger.record_attempt(BATCH.id, 0, machine, "gone")
    ledger.release(BATCH.id, 0, cell(0).key, "gone")


def test_a_cell_whose_attempts_end_in_silence_is_given_up(worker: Any, ledger: Ledger) -> None:
    """A job that kills whatever renders it: charged three times, and nobody could say why."""
    for machine in ("m1", "m2", "m1"):
        attempted(ledger, machine)
    task = worker()
    run(task, 0)
    run(task, 1)
    assert (task.attempt.renderer.rendered, counts(ledger)) == (1, (1, 1))
    assert ledger.failures(BATCH.id)[0].startswith("given up after 3 attempts: the process")


def test_a_machine_that_dies_fails_no_cell(worker: Any, ledger: Ledger) -> None:
    """However often one machine died with it, another one renders it."""
    for _ in range(4):
        attempted(ledger, "m1")
    worker(name="w1", machine="m1")
    run(worker(name="w2", machine="m2"))
    assert counts(ledger) == (1, 0)


def more_cells(folder: Store, ledger: Ledger, count: int) -> Batch:
    seeds = RangeAxis(name="seed", first="100", last=str(100 + count - 1))
    more = BATCH.model_copy(update={"axes": (seeds,)})
    submit(Resolved(more), folder, ledger)
    return more


@pytest.mark.parametrize(
    ("error", "quarantined"),
    [
        (RuntimeError("CUDA error: an illegal memory access"), True),
        (SuspectPicture("the picture is black"), True),
        (BadInput("the LoRA fits no layer"), False),
    ],
    ids=["crash", "black", "input"],
)
def test_different_jobs_that_fail_in_a_row_take_a_worker_out(
    worker: Any, folder: Store, ledger: Ledger, error: Exception, quarantined: bool
) -> None:
    """Never for what is the input's fault; the report says why."""
    more, out = more_cells(folder, ledger, BAD_AFTER), threading.Event()
    task = worker(*[raising(error)] * BAD_AFTER, quarantine=out.set)
    worker(name="w2", machine="m2")
    for i in range(BAD_AFTER):
        assert not out.is_set()
        task(more.id, i, 0)
    assert (out.is_set(), bool(task.paused)) == (quarantined, quarantined)
    if quarantined:
        assert "5 different jobs in a row failed on m1" in task.paused
        assert str(error) in task.paused


def test_one_picture_between_clears_a_workers_name(
    worker: Any, folder: Store, ledger: Ledger
) -> None:
    more, out = more_cells(folder, ledger, 2 * BAD_AFTER), threading.Event()
    bad = [raising(RuntimeError("x"))] * (BAD_AFTER - 1)
    task = worker(*bad, lambda: None, *bad, quarantine=out.set)
    worker(name="w2", machine="m2")
    for i in range(2 * BAD_AFTER - 1):
        task(more.id, i, 0)
    assert not out.is_set()


def test_one_job_that_fails_again_and_again_is_no_bad_machine(worker: Any) -> None:
    out = threading.Event()
    task = worker(*[raising(RuntimeError("x"))] * 2 * BAD_AFTER, quarantine=out.set)
    worker(name="w2", machine="m2")
    for _ in range(2 * BAD_AFTER):
        run(task)
    assert not out.is_set()


def test_a_paused_worker_is_no_second_opinion(worker: Any, ledger: Ledger) -> None:
    """One that took itself out is seen for a while; it does not keep a cell from its end."""
    out = WorkerReport("w2", "m2", (queue_name(),), 1, "cpu", "paused", "5 different jobs failed")
    ledger.workers.heartbeat(out, ttl_ms=60_000)
    task = worker(*[raising(RuntimeError("x"))] * 3)
    for _ in range(3):
        run(task)
    assert counts(ledger) == (0, 1)
