"""A model that cannot be had or loaded: one reason for all cells that need it, no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.batch import Axis, Batch, RangeAxis, Value
from common.dispatch import Ledger
from common.errors import AssetGone, BadInput, GridfarmError, HubError
from common.job import Job
from common.store import Store
from producer.submission import Resolved, submit
from tests.support.cell_tasks import BATCH
from worker.assets import model_need
from worker.tasks import CellTask, failure_policy

pytestmark = pytest.mark.integration

CELLS = 18
#: Of what BATCH draws with two models, every other cell is drawn with this one.
BAD = "someone/model@" + "c" * 40
REASON = f"the model {BAD} cannot be loaded: it has no weights"


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_policy, "HELD_S", 0)


@pytest.fixture
def batch(folder: Store, ledger: Ledger) -> Batch:
    """CELLS with the bad model, and as many with the tiny one."""
    models = Axis(
        name="model",
        values=tuple(Value(label=name, settings={"model": name}) for name in ("bad", "tiny")),
    )
    settings = BATCH.settings | {"dtype": "fp32", "vae": "own"}
    axes = (RangeAxis(name="seed", first="0", last=str(CELLS - 1)), models)
    made = BATCH.model_copy(
        update={"axes": axes, "settings": settings, "models": BATCH.models | {"bad": BAD}}
    )
    submit(Resolved(made), folder, ledger)
    return made


def broken() -> GridfarmError:
    return BadInput(REASON)


def away() -> GridfarmError:
    return HubError(REASON)


def fetching(task: CellTask, error: Callable[[], GridfarmError] | None) -> list[Job]:
    """Let the worker fail to fetch the bad model; the jobs that it fetched."""
    fetched: list[Job] = []

    def fetch(job: Job) -> None:
        fetched.append(job)
        if error and job.model == BAD:
            failure = error()
            failure.needs = model_need(BAD, "base", "fp32")
            raise failure

    task.attempt.renderer.fetch = fetch  # type: ignore[method-assign]
    return fetched


def bad_of(fetched: list[Job]) -> int:
    return sum(job.model == BAD for job in fetched)


def counts(ledger: Ledger, batch: Batch) -> tuple[int, int]:
    status = ledger.status(batch.id)
    assert status
    return status.done, status.failed


def work(
    task: CellTask, batch: Batch, cells: range = range(2 * CELLS), generation: int = 0
) -> None:
    for i in cells:
        task(batch.id, i, generation)


def test_a_model_without_weights_is_tried_once_for_all_its_cells(
    worker: Any, ledger: Ledger, batch: Batch
) -> None:
    """With one reason; the cells of the other model are drawn, and the worker is no bad one."""
    task = worker()
    fetched = fetching(task, broken)
    work(task, batch)
    assert counts(ledger, batch) == (CELLS, CELLS)
    assert set(ledger.failures(batch.id).values()) == {REASON}
    assert bad_of(fetched) == 1
    assert task.paused == ""


def test_a_hub_that_is_away_for_long_ends_all_its_cells(
    worker: Any, ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three tries for all of them."""
    monkeypatch.setattr(failure_policy, "UNMET_EVERY_MS", 0)
    task = worker()
    fetched = fetching(task, away)
    work(task, batch)
    work(task, batch)
    assert counts(ledger, batch) == (CELLS, CELLS)
    assert set(ledger.failures(batch.id).values()) == {REASON}
    assert bad_of(fetched) == 3


def test_a_hub_that_is_away_for_a_moment_fails_nothing(
    worker: Any, ledger: Ledger, batch: Batch
) -> None:
    """However many cells meet it: what happens within half a minute counts once."""
    task = worker()
    fetching(task, away)
    work(task, batch)
    assert counts(ledger, batch) == (CELLS, 0)
    fetching(task, None)
    work(task, batch)
    assert counts(ledger, batch) == (2 * CELLS, 0)


def gone() -> GridfarmError:
    return AssetGone(REASON)


def test_a_file_that_is_gone_after_it_was_loaded_fails_its_cells_and_no_machine(
    worker: Any, ledger: Ledger, batch: Batch
) -> None:
    """A LoRA that is written over while a local render goes on, or deleted from a farm's store:
    the machines that have not loaded it are good ones."""
    out: list[str] = []
    had_it = worker(name="w1", machine="m1")
    has_not = worker(name="w2", machine="m2", quarantine=lambda: out.append("out"))
    fetching(had_it, None)
    work(had_it, batch, range(2))
    fetching(has_not, gone)
    work(has_not, batch)
    assert counts(ledger, batch) == (CELLS + 1, CELLS - 1)
    assert set(ledger.failures(batch.id).values()) == {REASON}
    assert (out, has_not.policy.quarantined) == ([], "")


@pytest.mark.parametrize("error", [broken, away])
def test_one_machine_that_cannot_have_it_fails_nothing(
    worker: Any, ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    """A broken network or a cache that rots is one machine's; another one draws all, and when it
    has, the first one is found out."""
    monkeypatch.setattr(failure_policy, "UNMET_EVERY_MS", 0)
    out: list[str] = []
    bad = worker(name="w1", machine="m1", quarantine=lambda: out.append("out"))
    good = worker(name="w2", machine="m2")
    fetching(bad, error)
    work(bad, batch, range(CELLS))
    assert (counts(ledger, batch)[1], out) == (0, [])
    work(good, batch, range(2))
    work(bad, batch, range(2, 2 * CELLS, 2))
    assert (counts(ledger, batch)[1], out) == (0, ["out"])
    work(good, batch)
    assert counts(ledger, batch) == (2 * CELLS, 0)


def test_two_machines_agree(worker: Any, ledger: Ledger, batch: Batch) -> None:
    first, second = (worker(name=f"w{n}", machine=f"m{n}") for n in (1, 2))
    for task in (first, second):
        fetching(task, broken)
    work(first, batch, range(1))
    assert counts(ledger, batch) == (0, 0)
    work(second, batch, range(1))
    work(first, batch)
    assert counts(ledger, batch) == (CELLS, CELLS)


def test_retry_tries_it_anew(worker: Any, ledger: Ledger, batch: Batch) -> None:
    """Also by the process that had given it up."""
    task = worker()
    fetching(task, broken)
    work(task, batch, range(0, 2 * CELLS, 2))
    assert counts(ledger, batch) == (0, CELLS)
    ledger.retry(batch.id, generation=1, priority=1)
    fetching(task, None)
    work(task, batch, generation=1)
    assert counts(ledger, batch) == (2 * CELLS, 0)


def test_what_the_ledger_knows_of_a_need(ledger: Ledger, batch: Batch) -> None:
    """Trouble counts once in a while for each machine, and no more once anybody has it; it goes
    with a retry, and with the end of the batch."""

    def unmet(machine: str, every_ms: int = 60_000) -> tuple[int, int] | None:
        return ledger.report_unmet_need(batch.id, "base x", machine, every_ms=every_ms)

    assert not ledger.has_unmet_need(batch.id, "base x")
    assert [unmet("m1"), unmet("m1"), unmet("m2"), unmet("m1", 0)] == [
        (1, 1), (1, 1), (2, 2), (3, 2)
    ]  # fmt: skip
    assert ledger.has_unmet_need(batch.id, "base x")
    assert not ledger.has_unmet_need(batch.id, "base y")
    ledger.retry(batch.id, generation=1, priority=1)
    assert not ledger.has_unmet_need(batch.id, "base x")
    unmet("m1")
    ledger.report_met_needs(batch.id, ["base x", "base y"])
    assert unmet("m1") is None
    assert not ledger.has_unmet_need(batch.id, "base x")
    ledger.drop(batch.id)
    assert not ledger.redis.keys(f"gridfarm:batch:{batch.id}:needs")
    ledger.report_met_needs(batch.id, ["base x"])
    assert unmet("m1") == (1, 1)
    assert not ledger.redis.keys(f"gridfarm:batch:{batch.id}:needs")
