"""What a worker does with one task, on a real broker and a folder store.

The renderer here is scripted, so that each kind of trouble comes when it is called for; the
real one is in test_farm.py and tests/worker.
"""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.batch import Axis, Batch, Cell, Matrix, RangeAxis, Value
from common.dispatch import Dispatcher, Ledger, WorkerReport, queue_name
from common.errors import (
    BadInput,
    HubError,
    ObjectMissing,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    SuspectPicture,
)
from common.job import BUILTIN_MODELS, Job
from common.store import Store, object_names, open_store
from producer.language.settings.catalogue import DEFAULTS
from producer.submission import Resolved, submit
from worker.preemption import Notice
from worker.process.main import Heart
from worker.tasks import CellTask, Identity, LeaseKeeper, Leaving, store_outage
from worker.tasks.failure_policy import BAD_AFTER

pytestmark = pytest.mark.integration

BATCH = Batch(
    name="tasks",
    settings=DEFAULTS | {"model": "tiny", "prompt": "a wolf", "steps": 2, "size": "64x64"},
    axes=(RangeAxis(name="seed", first="0", last="1"),),
    models=dict(BUILTIN_MODELS),
)


@dataclass
class Drawn:
    image: Image.Image
    timings: dict[str, float]


@dataclass
class ScriptedRenderer:
    """Draws a plain picture after it has done what each `script` entry says, first to last."""

    script: list[Callable[[], None]] = field(default_factory=list)
    rendered: int = 0

    def fetch(self, job: Job) -> None: ...
    def prepare(self, job: Job) -> None: ...

    def render(self, job: Job, on_step: Callable[[int, int], None] | None = None) -> Drawn:
        self.rendered += 1
        if self.script:
            self.script.pop(0)()
        if on_step:
            on_step(1, 2)
        return Drawn(Image.new("RGB", (64, 64), (job.seed, 9, 9)), {"total": 0.1})

    def fingerprint(self, _: Job) -> dict[str, Any]:
        return {"device": "scripted"}


class WrappedStore:
    """A real store that calls `before` with each operation and name."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._store, operation)

        def call(name: str = "", *args: Any, **kwargs: Any) -> Any:
            self._before(operation, name)
            return method(*((name,) if name else ()), *args, **kwargs)

        return call if callable(method) else method


def raising(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


@pytest.fixture
def ledger(broker: str) -> Ledger:
    return Ledger(broker)


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def submitted(folder: Store, ledger: Ledger) -> None:
    submit(Resolved(BATCH), folder, ledger)


@pytest.fixture
def worker(folder: Store, ledger: Ledger) -> Iterator[Callable[..., CellTask]]:
    made: list[CellTask] = []

    def make(*script: Callable[[], None], name: str = "w1", machine: str = "m1",
             store: Any = None, alive: bool = True,
             unfit: Callable[[], None] = lambda: None) -> CellTask:  # fmt: skip
        store = store or folder
        if alive:
            report = WorkerReport(name, machine, (queue_name(),), 1, "cpu", "")
            ledger.workers.heartbeat(report, ttl_ms=60_000)
        dispatcher = Dispatcher(store, ledger, [queue_name()])
        restarts = threading.Event()
        task = CellTask(
            Identity(name, machine), store, ledger, dispatcher, ScriptedRenderer(list(script)),
            LeaseKeeper(ledger, name), restart=restarts.set, unfit=unfit,
        )  # fmt: skip
        task.restarts = restarts  # type: ignore[attr-defined]
        made.append(task)
        return task

    yield make
    for task in made:
        task.closing.set()


def cell(i: int) -> Cell:
    found = Matrix(BATCH)[i]
    assert found
    return found


def status(ledger: Ledger) -> tuple[int, int]:
    seen = ledger.status(BATCH.id)
    assert seen
    return seen.done, seen.failed


def run(task: CellTask, i: int = 0) -> None:
    task(BATCH.id, i, 0)


def test_a_rendered_cell_is_stored_and_reported(worker: Any, folder: Store, ledger: Ledger) -> None:
    run(worker())
    assert folder.exists(object_names.picture(cell(0).key))
    assert json.loads(folder.get(object_names.sidecar(cell(0).key)))["job"] == cell(0).job.to_json()
    assert folder.exists(object_names.thumbnail(cell(0).key))
    assert status(ledger) == (1, 0)


def test_the_picture_is_uploaded_last(worker: Any, folder: Store) -> None:
    """A PNG under its key says that its copies are there too."""
    puts: list[str] = []
    store = WrappedStore(folder, lambda op, name: puts.append(name) if op == "put" else None)
    run(worker(store=store))
    images = [name.rpartition(".")[2] for name in puts if name.startswith("images/")]
    assert sorted(images[:2]) == ["json", "webp"]
    assert images[2:] == ["png"]


def test_no_picture_without_its_copies(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar that cannot be written keeps the picture from being stored."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    away, pictures = iter([True, False]), []

    def before(operation: str, name: str) -> None:
        if operation == "probe":
            pictures.append(folder.exists(object_names.picture(cell(0).key)))
        if operation == "put" and name == object_names.sidecar(cell(0).key) and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    run(worker(store=WrappedStore(folder, before)))
    assert pictures == [False]
    assert status(ledger) == (1, 0)


def test_a_stored_cell_is_not_rendered(worker: Any, folder: Store, ledger: Ledger) -> None:
    folder.put(object_names.picture(cell(0).key), b"there")
    task = worker()
    run(task)
    assert (task.renderer.rendered, status(ledger)) == (0, (1, 0))


def test_a_redelivered_task_renders_once(worker: Any, ledger: Ledger) -> None:
    task = worker()
    run(task)
    run(task)
    assert (task.renderer.rendered, status(ledger)) == (1, (1, 0))


def test_bad_input_fails_its_cell_at_once(worker: Any, folder: Store, ledger: Ledger) -> None:
    """The reason is in the ledger and, for the day Redis is wiped, in the store."""
    task = worker(raising(BadInput("the LoRA 'wrong' fits no layer")))
    run(task, 0)
    run(task, 1)
    assert status(ledger) == (1, 1)
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
    Dispatcher(folder, ledger, [queue_name()]).finish(big.id)
    first, second = folder.get(object_names.cells(big.id)).splitlines()[:2]
    assert json.loads(first)["key"] and json.loads(second)["key"] is None


def test_three_attempts_on_the_only_machine_fail_a_cell(worker: Any, ledger: Ledger) -> None:
    task = worker(*[raising(RuntimeError("device-side assert"))] * 3)
    for _ in range(3):
        assert status(ledger) == (0, 0)
        run(task)
    assert status(ledger) == (0, 1)
    assert "device-side assert (after 3 attempts)" in ledger.failures(BATCH.id)[0]


def test_one_bad_machine_of_two_fails_no_cell(worker: Any, ledger: Ledger) -> None:
    """Three attempts on one machine are not enough while another lives."""
    bad = worker(*[raising(RuntimeError("bad memory"))] * 4, name="w1", machine="m1")
    good = worker(name="w2", machine="m2")
    for _ in range(4):
        run(bad)
    assert status(ledger) == (0, 0)
    run(good)
    assert status(ledger) == (1, 0)


def test_a_black_picture_needs_a_second_worker(worker: Any, ledger: Ledger) -> None:
    black = raising(SuspectPicture("the picture is black"))
    first, second = worker(black, name="w1"), worker(black, name="w2")
    run(first)
    assert status(ledger) == (0, 0)
    run(first)  # the same worker does not try again, nor agree with itself
    assert (first.renderer.rendered, status(ledger)) == (1, (0, 0))
    run(second)
    assert status(ledger) == (0, 1)
    assert ledger.failures(BATCH.id)[0] == "the picture is black (two workers agree)"


def test_a_second_worker_can_save_a_black_picture(worker: Any, ledger: Ledger) -> None:
    run(worker(raising(SuspectPicture("NaN in the latents")), name="w1"))
    run(worker(name="w2"))
    assert status(ledger) == (1, 0)


def test_a_lone_worker_starts_afresh_to_judge(worker: Any, ledger: Ledger) -> None:
    task = worker(raising(SuspectPicture("the picture is black")))
    run(task)
    assert task.restarts.is_set()
    ledger.workers.leave("w1")
    fresh = worker(raising(SuspectPicture("the picture is black")), name="w1-again")
    run(fresh)
    assert status(ledger) == (0, 1)


def test_a_store_that_is_away_pauses_the_worker(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell is handed back without a charge; when the store answers, it is rendered."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    paused: list[str] = []
    away = iter([True, True, False, False])

    def before(operation: str, name: str) -> None:
        if operation == "probe":
            paused.append(task.paused)
        uploads = operation == "put" and name.endswith(".png")
        if (uploads or operation == "probe") and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    task = worker(store=WrappedStore(folder, before))
    run(task)
    assert paused == ["503 Slow Down", "503 Slow Down"]
    assert task.paused == ""
    assert status(ledger) == (1, 0)
    assert ledger.attempts_of(BATCH.id, 1) == []


def test_a_store_that_takes_probes_but_no_pictures(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is full but for a few bytes: nothing is drawn twice, the pauses grow and add up, and
    are forgotten when the picture is stored."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0.01, 0.02, 0.04))
    full, pauses, said = iter([True] * 4), [], []

    def before(operation: str, name: str) -> None:
        if operation == "put" and name.endswith(".png") and next(full, False):
            heart.beat()
            raise StoreFull("507 XMinioStorageFull")

    task = worker(store=WrappedStore(folder, before))
    heart = Heart(task, WorkerReport("w1", "m1", (queue_name(),), 1, "cpu", ""))

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        heart.beat()
        reports = ledger.workers.alive()
        said.extend((seen.state, seen.lasts_s >= sum(pauses[:-1])) for seen in reports)
        return bool(threading.Event().wait(seconds))

    monkeypatch.setattr(task.closing, "wait", wait)
    run(task)
    assert (task.renderer.rendered, status(ledger)) == (1, (1, 0))
    assert pauses == [0.01, 0.02, 0.04, 0.04]
    assert said == [("paused", True)] * 4
    assert (task.paused, task.pause.lasted_s) == ("", 0.0)


def test_a_failure_that_cannot_be_noted_is_noted_later(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away between the failure and its note: the cell is handed back at once,
    uncharged, and fails with its own reason."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    away = iter([True])

    def before(operation: str, name: str) -> None:
        if operation == "put" and name == object_names.failure(BATCH.id, 0) and next(away, False):
            raise StoreUnreachable("503 Slow Down")

    bad = raising(BadInput("the LoRA 'wrong' fits no layer"))
    task = worker(bad, bad, store=WrappedStore(folder, before))
    run(task)
    assert ledger.failures(BATCH.id) == {0: "the LoRA 'wrong' fits no layer"}


def test_a_full_disk_pauses_and_fails_nothing(
    worker: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    full = OSError(errno.ENOSPC, "No space left on device")
    task = worker(raising(full))
    run(task)
    assert (task.renderer.rendered, status(ledger)) == (2, (1, 0))


def test_a_task_of_a_removed_batch_ends(worker: Any, folder: Store, ledger: Ledger) -> None:
    folder.delete(object_names.batch(BATCH.id))
    run(worker())
    assert ledger.status(BATCH.id) is None


def test_a_store_that_hides_a_batch_is_waited_for(
    worker: Any, folder: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights that were taken away make a document look absent: the batch is not forgotten."""
    monkeypatch.setattr(store_outage, "PROBE_AFTER_S", (0,))
    hidden = iter([True, True, False])

    def before(operation: str, name: str) -> None:
        if operation == "get" and name == object_names.batch(BATCH.id) and next(hidden, False):
            raise ObjectMissing("403, which may mean absent")
        if operation == "probe" and next(hidden, False):
            raise StoreRefused("403")

    run(worker(store=WrappedStore(folder, before)))
    assert status(ledger) == (1, 0)


def test_a_paused_worker_can_be_ended(worker: Any, folder: Store, ledger: Ledger) -> None:
    """SIGTERM while the store is away: the task returns, the cell is handed back."""

    def before(operation: str, name: str) -> None:
        if operation == "put" and name.endswith(".png"):
            task.close()
            raise StoreUnreachable("503 Slow Down")

    task = worker(store=WrappedStore(folder, before))
    run(task)
    assert status(ledger) == (0, 0)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"


def test_a_cancelled_cell_stops_at_the_next_step(worker: Any, ledger: Ledger) -> None:
    task = worker()

    def cancel() -> None:
        ledger.control(BATCH.id, generation=1, state="cancelled", priority=1)
        for lease in tuple(task.leases._held):
            task.leases._renew(lease)

    task.renderer.script.append(cancel)
    run(task)
    assert (task.renderer.rendered, status(ledger)) == (1, (0, 0))
    assert not task.leases.held


def test_hand_back_puts_running_cells_back(worker: Any, ledger: Ledger) -> None:
    """Ctrl-C: no attempt is charged, and the next worker gets the cell."""
    task = worker()
    task.renderer.script.append(task.hand_back_all)
    run(task)
    assert status(ledger) == (0, 0)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"
    assert ledger.record_attempt(BATCH.id, 0, "m2", "w2") == (1, 1)


def test_the_last_cell_ends_the_batch(worker: Any, folder: Store, ledger: Ledger) -> None:
    task = worker()
    run(task, 0)
    run(task, 1)
    assert not folder.exists(object_names.active(BATCH.id))
    seen = ledger.status(BATCH.id)
    assert seen
    assert seen.state == "done"


def test_one_job_computes_at_a_time(worker: Any, ledger: Ledger) -> None:
    """Two threads of a process meet at the GPU lock."""
    inside, most = 0, 0
    gate = threading.Barrier(2, timeout=10)
    task = worker()

    def enter() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.05)
        inside -= 1

    task.renderer.script += [enter, enter]

    def work(i: int) -> None:
        gate.wait()
        run(task, i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, status(ledger)) == (1, (2, 0))


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
    assert (task.renderer.rendered, status(ledger)) == (1, (1, 1))
    assert ledger.failures(BATCH.id)[0].startswith("given up after 3 attempts: the process")


def test_a_machine_that_dies_fails_no_cell(worker: Any, ledger: Ledger) -> None:
    """However often one machine died with it, another one renders it."""
    for _ in range(4):
        attempted(ledger, "m1")
    worker(name="w1", machine="m1")
    run(worker(name="w2", machine="m2"))
    assert status(ledger) == (1, 0)


def more_cells(folder: Store, ledger: Ledger, count: int) -> Batch:
    seeds = RangeAxis(name="seed", first="100", last=str(100 + count - 1))
    more = BATCH.model_copy(update={"axes": (seeds,)})
    submit(Resolved(more), folder, ledger)
    return more


@pytest.mark.parametrize(
    ("error", "unfit"),
    [
        (RuntimeError("CUDA error: an illegal memory access"), True),
        (SuspectPicture("the picture is black"), True),
        (BadInput("the LoRA fits no layer"), False),
        (HubError("the hub is away"), False),
    ],
    ids=["crash", "black", "input", "hub"],
)
def test_different_jobs_that_fail_in_a_row_take_a_worker_out(
    worker: Any, folder: Store, ledger: Ledger, error: Exception, unfit: bool
) -> None:
    """Never for what is the input's fault or the hub's; the report says why."""
    more, out = more_cells(folder, ledger, BAD_AFTER), threading.Event()
    task = worker(*[raising(error)] * BAD_AFTER, unfit=out.set)
    worker(name="w2", machine="m2")
    for i in range(BAD_AFTER):
        assert not out.is_set()
        task(more.id, i, 0)
    assert (out.is_set(), bool(task.paused)) == (unfit, unfit)
    if unfit:
        assert "5 different jobs in a row failed on m1" in task.paused
        assert str(error) in task.paused


def test_one_picture_between_clears_a_workers_name(
    worker: Any, folder: Store, ledger: Ledger
) -> None:
    more, out = more_cells(folder, ledger, 2 * BAD_AFTER), threading.Event()
    bad = [raising(RuntimeError("x"))] * (BAD_AFTER - 1)
    task = worker(*bad, lambda: None, *bad, unfit=out.set)
    worker(name="w2", machine="m2")
    for i in range(2 * BAD_AFTER - 1):
        task(more.id, i, 0)
    assert not out.is_set()


def test_one_job_that_fails_again_and_again_is_no_bad_machine(worker: Any) -> None:
    out = threading.Event()
    task = worker(*[raising(RuntimeError("x"))] * 2 * BAD_AFTER, unfit=out.set)
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
    assert status(ledger) == (0, 1)


@pytest.mark.parametrize(("seconds", "stored"), [(60, 1), (0, 0)], ids=["fits", "does not"])
def test_on_notice_a_render_ends_if_it_fits(
    worker: Any, ledger: Ledger, seconds: float, stored: int
) -> None:
    """Else it stops at its next step, uncharged, and is sent again at once."""
    task = worker()
    task.renderer.script.append(lambda: task.leave(Notice.within(seconds, "the cloud takes it")))
    run(task)
    assert status(ledger) == (stored, 0)
    if not stored:
        assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"
        assert ledger.record_attempt(BATCH.id, 0, "m2", "w2") == (1, 1)


def test_on_notice_what_waits_for_the_gpu_goes_back_at_once(worker: Any, ledger: Ledger) -> None:
    """Not when the render before it has ended; and no late renewal takes it back."""
    task, seen = worker(), []
    waiter = threading.Thread(target=run, args=(task, 1))

    def leave() -> None:
        waiter.start()
        while len(task.leases.held) < 2:
            threading.Event().wait(0.01)
        (waiting,) = (lease for lease in task.leases.held if lease.i == 1)
        task.leave(Notice.within(60, "the cloud takes it"))
        task.leases._renew(waiting)
        seen.append(ledger.claim(BATCH.id, 1, 0, cell(1).key, "w2"))

    task.renderer.script.append(leave)
    run(task)
    waiter.join(10)
    assert (seen, task.renderer.rendered, status(ledger)) == (["ok"], 1, (1, 0))
    assert ledger.renew(BATCH.id, 1, cell(1).key, "w2"), "the thread took nothing from w2"


def test_a_task_that_comes_too_late_goes_back_to_the_queue(worker: Any, ledger: Ledger) -> None:
    task = worker()
    task.close()
    with pytest.raises(Leaving):
        run(task)
    assert ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2") == "ok"


def test_what_cannot_be_stopped_is_abandoned(worker: Any, ledger: Ledger) -> None:
    """The process' last words before os._exit: the cell is free while its thread still hangs."""
    task, seen = worker(), []

    def hang() -> None:
        task.abandon()
        seen.append(ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2"))
        seen.append(ledger.record_attempt(BATCH.id, 0, "m2", "w2"))

    task.renderer.script.append(hang)
    run(task)
    assert seen == ["ok", (1, 1)]


def test_a_stalled_render_keeps_its_charge(worker: Any, ledger: Ledger) -> None:
    task, seen = worker(), []

    def hang() -> None:
        before = ledger.redis.llen(queue_name())
        task.stalled()
        assert ledger.redis.llen(queue_name()) == before, "nothing is sent to a process that ends"
        ledger.claim(BATCH.id, 0, 0, cell(0).key, "w2")
        seen.append(ledger.record_attempt(BATCH.id, 0, "m2", "w2"))

    task.renderer.script.append(hang)
    run(task)
    assert seen == [(2, 2)]
