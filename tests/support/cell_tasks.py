"""A cell's task on a real broker and a folder store, with a scripted renderer, so that each kind
of trouble comes when it is called for. `integration/tasks` has the fixtures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from common.batch import Batch, Cell, Matrix, RangeAxis
from common.dispatch import Dispatcher, Ledger, queue_name
from common.job import BUILTIN_MODELS, Job
from common.store import Store
from producer.language.settings import DEFAULTS
from worker.assets import Downloads
from worker.tasks import (
    CellTask,
    FailurePolicy,
    Gpu,
    Identity,
    InHand,
    LeaseKeeper,
    RendersJobs,
    StoreOutage,
    Watchdog,
)

BATCH = Batch(
    name="tasks",
    settings=DEFAULTS | {"model": "tiny", "prompt": "a wolf", "steps": 2, "size": "64x64"},
    axes=(RangeAxis(name="seed", first="0", last="1"),),
    models=dict(BUILTIN_MODELS),
)


def cell_task(
    store: Store,
    ledger: Ledger,
    renderer: RendersJobs,
    *,
    name: str = "w1",
    machine: str = "m1",
    restart: Callable[[], None] = lambda: None,
    quarantine: Callable[[], None] = lambda: None,
    downloads: Downloads | None = None,
) -> CellTask:
    """As a worker process puts it together, but no lease is renewed and nothing is watched."""
    identity = Identity(name, machine)
    dispatcher = Dispatcher(store, ledger, [queue_name()])
    leases = LeaseKeeper(ledger, name)
    in_hand = InHand(identity, store, ledger, dispatcher, leases, downloads=downloads)
    closing = in_hand.closing
    policy = FailurePolicy(identity, ledger, closing, restart=restart, quarantine=quarantine)
    gpu = Gpu(in_hand, Watchdog(lambda _: None))
    return CellTask(in_hand, gpu, policy, StoreOutage(dispatcher.farm_store, closing), renderer)


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


def cell(i: int) -> Cell:
    found = Matrix(BATCH)[i]
    assert found
    return found


def counts(ledger: Ledger) -> tuple[int, int]:
    """Cells of BATCH that are done and that failed."""
    status = ledger.status(BATCH.id)
    assert status
    return status.done, status.failed


def run(task: CellTask, i: int = 0) -> None:
    task(BATCH.id, i, 0)
