"""A batch rendered on this machine: a broker and workers for as long as it takes."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.batch import Matrix
from common.dispatch import UNFINISHED, Ledger, read_control_if_any
from common.errors import BrokerAway, UsageError
from common.install import install_command
from common.store import Store, object_names
from producer.batches import Status, StatusWatcher, known_due
from producer.catalogue import remember
from producer.language import BatchFile
from producer.local.broker import LocalBroker, local_broker
from producer.local.presence import Held, OtherRender, Presence
from producer.local.view import View
from producer.local.workers import LocalWorkers, local_workers
from producer.pictures import Flaw, forget_flaws, take_damaged_away
from producer.progress import ProgressCallback, Say
from producer.submission import Hub, Resolved, SubmitReport, resolve, submit

#: Between two looks whether another render has ended.
LOOK_S = 0.2

#: Shows the statuses while they come, and returns the last one.
Watch = Callable[[Iterator[Status]], Status]


@dataclass(frozen=True)
class RenderReport:
    """What a rendering on this machine left in `folder`: pictures under readable names in
    `images`, the `sheets`, the workers' log. No sheet is there where it would be too large to open.
    `status` counts `flaws` as failed."""

    status: Status
    folder: Path
    sheets: tuple[Path, ...]
    #: Pictures that were stored before and are damaged; the same rendering again draws them.
    flaws: tuple[Flaw, ...]
    #: The files in `images`.
    files: tuple[Path, ...] = field(repr=False)
    #: The cells that were rendered.
    matrix: Matrix = field(repr=False, compare=False)

    @property
    def batch(self) -> str:
        """The batch's id."""
        return self.status.batch

    @property
    def images(self) -> Path:
        return self.folder / "images"


@dataclass(frozen=True)
class LocalRender:
    """One rendering into `store`, shown in `folder`, with `workers` processes, by default one for
    each GPU."""

    file: BatchFile
    store: Store
    folder: Path
    cache_dir: Path
    workers: int | None
    say: Say
    progress: ProgressCallback
    watch: Watch

    def run(self) -> RenderReport:
        """Order, render, show. Raises what `resolve` and `submit` do, and GridfarmError when the
        broker or the workers end; a KeyboardInterrupt hands running cells back first."""
        try:
            matrix, status = self._rendered()
        except KeyboardInterrupt:
            self.say("interrupted: running cells were handed back; the same command goes on")
            raise
        view = View(self.folder, self.store, self.say, self.progress)
        shown = view.show(matrix, due=known_due(status.batch, matrix, self.store))
        sheets = view.draw(matrix, status.batch)
        status = _as_fetched(status, shown.flaws)
        files = (*shown.written, *shown.skipped)
        return RenderReport(status, self.folder, sheets, shown.flaws, files, matrix)

    def _rendered(self) -> tuple[Matrix, Status]:
        """One render at a time works on a store; the others give it their batches, and take over
        where it has ended."""
        presence = Presence.of(self.store.url, self.cache_dir)
        while True:
            with presence.held() as held:
                if held:
                    return self._by_ourselves(held)
            if (other := presence.look()) and (rendered := self._by_other(other)):
                return rendered
            time.sleep(LOOK_S)

    def _by_ourselves(self, held: Held) -> tuple[Matrix, Status]:
        with local_broker() as broker:
            held.announce(broker)
            resolved = self._resolved()
            report = self._order(resolved, broker.ledger)
            watcher = self._watcher(resolved, broker.ledger)
            if not report.queued:
                return watcher.matrix, watcher.status()
            return watcher.matrix, self._work(watcher, broker)

    def _by_other(self, other: OtherRender) -> tuple[Matrix, Status] | None:
        """None when it has ended before the batch was done."""
        try:
            ledger = other.ledger
            ledger.broker.ping()
            self.say(f"process {other.pid} renders into this store: its workers take this, too")
            resolved = self._resolved()
            watcher = self._watcher(resolved, ledger)
            under_way = _is_under_way(ledger, resolved.batch.id)
            with _taken_back_unless(under_way, ledger, resolved.batch.id):
                if not under_way and not self._order(resolved, ledger).queued:
                    return watcher.matrix, watcher.status()
                return watcher.matrix, self.watch(watcher.follow())
        except BrokerAway:
            self.say(f"process {other.pid} has ended; this render goes on by itself")
            return None

    def _resolved(self) -> Resolved:
        """With files of this machine read where they lie."""
        hub = Hub(self.store, self.say, renders_here=True)
        resolved = resolve(_for_any_gpu(self.file), hub, self.cache_dir, self.progress)
        return resolved.without_files_in(self.cache_dir)

    def _watcher(self, resolved: Resolved, ledger: Ledger) -> StatusWatcher:
        return StatusWatcher(resolved.batch.id, resolved.batch, self.store, ledger, self.say)

    def _order(self, resolved: Resolved, ledger: Ledger) -> SubmitReport:
        batch = resolved.batch
        check_no_farm_has(batch.id, self.store)
        forget_failures(batch.id, self.store, self.say)
        taken = take_damaged_away(Matrix(batch), batch.id, self.store, self.progress)
        report = submit(resolved, self.store, ledger, self.progress, say=self.say)
        forget_flaws(self.store, batch.id, taken.dealt_with)
        remember(self.cache_dir, report.batch, self.store)
        self.say(report.summary)
        return report

    def _work(self, watcher: StatusWatcher, broker: LocalBroker) -> Status:
        with local_workers(
            broker.url,
            self.store.url,
            self.folder / "workers.log",
            workers=self.workers,
            cache=str(self.cache_dir),
        ) as workers:
            return self.watch(_while_alive(watcher.follow(), workers))


def check_no_farm_has(batch_id: str, store: Store) -> None:
    """Raises UsageError for a batch that a farm has under way: both would render its cells."""
    control = read_control_if_any(store, batch_id)
    orders = control and control.state in UNFINISHED and not control.local
    if orders and store.exists(object_names.active(batch_id)):
        raise UsageError(
            f"{batch_id} is under way on the farm that works with this store",
            hint=f"gridfarm watch {batch_id} follows it there; to render it here, first give "
            f"gridfarm cancel {batch_id}",
        )


def _is_under_way(ledger: Ledger, batch_id: str) -> bool:
    status = ledger.status(batch_id)
    return status is not None and status.state in UNFINISHED


@contextmanager
def _taken_back_unless(under_way: bool, ledger: Ledger, batch_id: str) -> Iterator[None]:
    """Whoever gave another render a batch and is interrupted takes it back."""
    try:
        yield
    except KeyboardInterrupt:
        if not under_way:
            ledger.drop(batch_id)
        raise


def _for_any_gpu(file: BatchFile) -> BatchFile:
    """What was pinned to a farm's GPU type is rendered by what is here."""
    return replace(file, batch=file.batch.model_copy(update={"gpu": None}))


def need_worker_packages() -> None:
    """Raises UsageError in an install without what renders."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("diffusers") is None:
        raise UsageError(
            "this is a producer-only install: it has no torch to render with",
            hint=f"{install_command('local')} brings it; or order from a farm: gridfarm submit",
        )


def forget_failures(batch_id: str, store: Store, say: Say) -> None:
    """What failed is tried again: on a person's own machine they gave the command to that end."""
    failed = list(store.list(object_names.failures(batch_id)))
    if failed:
        say(f"{len(failed):,} failed before and are tried again")
    for name in failed:
        store.delete(name)


def watch_silently(statuses: Iterator[Status], progress: ProgressCallback) -> Status:
    """Tell `progress` alone how many pictures are rendered."""
    for status in statuses:
        progress("rendering", status.done + status.failed, status.jobs)
    return status


def _as_fetched(status: Status, flaws: tuple[Flaw, ...]) -> Status:
    """What was counted as done, until fetching read it, and is damaged, as failed cells."""
    known = {failure["i"] for failure in status.failures}
    found: list[dict[str, object]] = [
        {"i": flaw.i, "labels": flaw.labels, "reason": flaw.reason}
        for flaw in flaws
        if flaw.i not in known
    ]
    return status.but_for(found, count=len(found), counted_done=len(found))


def _while_alive(statuses: Iterator[Status], workers: LocalWorkers) -> Iterator[Status]:
    """Raises GridfarmError when the workers have ended and the batch is not over, UsageError when
    none of them is of the kind that it needs: no other will come."""
    for status in statuses:
        yield status
        if status.over:
            return
        workers.check()
        if status.waits_for and len(status.others) >= workers.count:
            raise UsageError(
                f"this machine cannot render it: it {status.waits_for}",
                hint="render it with --set noise=cpu, which makes other pictures, or order it from"
                " a farm with such a worker: gridfarm submit",
            )
