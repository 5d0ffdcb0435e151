"""What a worker says of itself while it brings a model, loads it and draws: the person who
watches sees what goes on, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch, RangeAxis
from common.dispatch import Ledger, WorkerReport, queue_name
from common.job import Job
from common.store import open_store
from producer.language.settings import DEFAULTS
from producer.submission import Resolved, submit
from tests.support.cell_tasks import cell_task
from tests.support.hub_server import Hub, connected, files_of
from worker.assets import Assets, Downloads, DownloadStopped
from worker.assets.downloads import Count
from worker.engine import Renderer
from worker.engine.renderer import Rendered
from worker.process.heartbeat import Heartbeat
from worker.tasks import CellTask, gpu
from worker.tasks.failure_policy import Verdict
from worker.tasks.leases import Lease

pytestmark = pytest.mark.integration

MODEL = f"someone/model@{'c' * 40}"
BATCH = Batch(
    name="phases",
    settings=DEFAULTS | {"model": "mine", "prompt": "a wolf", "steps": 2, "size": "64x64",
                         "dtype": "fp32", "vae": "own"},
    axes=(RangeAxis(name="seed", first="0", last="1"),),
    models={"mine": MODEL},
)  # fmt: skip

Look = Callable[[], None]


class SeenDownloads(Downloads):
    def __init__(self) -> None:
        super().__init__()
        self.look: Look = lambda: None

    @contextmanager
    def follow(self, name: str, total: int) -> Iterator[Count]:
        with super().follow(name, total) as count:

            def listen(size: int) -> None:
                count(size)
                self.look()

            yield listen


class SeenRenderer(Renderer):
    look: Look

    def prepare(self, job: Job) -> None:
        self.look()
        super().prepare(job)

    def render(self, job: Job, on_step: Callable[[int, int], None] | None = None) -> Rendered:
        def step(done: int, total: int) -> None:
            self.look()
            if on_step:
                on_step(done, total)

        return super().render(job, step)


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with connected({MODEL: files_of(tiny_folder / "base")}, tmp_path / "hub", monkeypatch) as hub:
        yield hub


@pytest.fixture
def task(hub: Hub, ledger: Ledger, tmp_path: Path, session_cache: Path) -> CellTask:
    assert hub
    store = open_store(str(tmp_path / "store"))
    submit(Resolved(BATCH), store, ledger)
    downloads = SeenDownloads()
    renderer = SeenRenderer(
        Assets(store, session_cache, downloads=downloads), device="cpu", cpu_threads=1
    )
    return cell_task(store, ledger, renderer, downloads=downloads)


def heartbeat(task: CellTask) -> Heartbeat:
    report = WorkerReport("w1", "m1", (queue_name(),), 1, "cpu x86_64", "starting")
    return Heartbeat(task.in_hand.ledger, task, report)


def looking(task: Any, look: Look) -> None:
    task.in_hand.downloads.look = task.attempt.renderer.look = look


def test_downloading_loading_and_rendering_are_told(task: CellTask, ledger: Ledger) -> None:
    beating, reports = heartbeat(task), []

    def look() -> None:
        beating.beat()
        report = ledger.workers.alive()[0]
        reports.append((report.state, report.message))

    looking(task, look)
    task(BATCH.id, 0, 0)
    status = ledger.status(BATCH.id)
    assert status and (status.done, status.failed) == (1, 0)
    assert list(dict.fromkeys(state for state, _ in reports)) == [
        "downloading",
        "loading",
        "rendering",
    ]
    messages = dict(reports)
    assert messages["downloading"].startswith("someone/model")
    assert messages["loading"] == "someone/model onto cpu x86_64"
    assert messages["rendering"] == ""
    look()
    assert reports[-1] == ("listening", "")


@pytest.mark.parametrize(
    ("slow_s", "told"), [(0, [(0, 0), (1, 2)]), (1_000, [(0, 0), (0, 0)])], ids=["slow", "quick"]
)
def test_the_step_of_a_slow_picture_is_told(
    task: CellTask, monkeypatch: pytest.MonkeyPatch, slow_s: float, told: list[tuple[int, int]]
) -> None:
    """At each of the two steps those before it; nothing before the picture and after it."""
    monkeypatch.setattr(gpu, "SLOW_S", slow_s)
    seen = []

    def look() -> None:
        if task.phase[0] == "rendering":
            seen.append(task.steps)

    looking(task, look)
    task(BATCH.id, 0, 0)
    assert (seen, task.steps) == (told, (0, 0))


def test_what_is_drawn_counts_for_more_than_what_comes(task: CellTask) -> None:
    """Given a second cell whose model comes while the first is drawn."""
    phases = []

    def look() -> None:
        with task.in_hand.downloads.follow("another/model", 2_000_000_000) as count:
            count(500_000_000)
            phases.append(task.phase)

    looking(task, lambda: None)
    task.attempt.renderer.look = look  # type: ignore[attr-defined]
    task(BATCH.id, 0, 0)
    assert phases[0] == ("loading", "someone/model")
    assert set(phases[1:]) == {("rendering", "")}
    with task.in_hand.downloads.follow("another/model", 2_000_000_000):
        assert task.phase == ("downloading", "another/model, 0.0 of 2.0 GB")


def test_what_is_tried_again_is_told(
    task: CellTask, hub: Hub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its cell is kept, by the model's name and the reason."""
    seen, hold = [], task.policy.hold

    def held(lease: Lease, verdict: Verdict) -> None:
        seen.append(task.phase)
        lease.stop.set()
        hold(lease, verdict)

    monkeypatch.setattr(task.policy, "hold", held)
    looking(task, lambda: None)
    hub.gated = True
    ledger.workers.heartbeat(heartbeat(task).report, ttl_ms=60_000)
    task(BATCH.id, 0, 0)
    [(state, message)] = seen
    assert state == "retrying"
    assert message.startswith("what failed: the model someone/model cannot be loaded from the hub")
    assert task.phase == ("", "")
    status = ledger.status(BATCH.id)
    assert status and status.failed == 0


def test_who_hands_back_does_not_wait_for_a_download(task: CellTask, ledger: Ledger) -> None:
    """The cell goes back uncharged, for another worker to take."""
    looking(task, task.in_hand.hand_back_all)
    task(BATCH.id, 0, 0)
    status = ledger.status(BATCH.id)
    assert status and (status.done, status.failed) == (0, 0)
    assert ledger.claim(BATCH.id, 0, 0, _key(task), "w2") == "ok"
    assert ledger.record_attempt(BATCH.id, 0, "m2", "w2") == (1, 1)
    with pytest.raises(DownloadStopped), task.in_hand.downloads.follow("x", 1) as count:
        count(1)


def _key(task: CellTask) -> str:
    cell = task.matrices.of(BATCH.id)[0]
    assert cell
    return cell.key
