"""A batch rendered on this machine: a broker, workers and a folder as the store, for as long as
it takes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from common.batch import Matrix
from common.dispatch import Ledger
from common.errors import UsageError
from common.store import Store, object_names, open_store
from producer.batches import LastBatch, Status, StatusWatcher, known_due
from producer.language import BatchFile
from producer.local.broker import local_broker
from producer.local.workers import LocalWorkers, local_workers
from producer.pictures import Flaw, fetch_pictures, forget_flaws, take_damaged_away
from producer.progress import ProgressCallback, Say
from producer.sheet import SheetTooLarge, all_rows, save, sheets_of_batch
from producer.submission import Hub, Resolved, SubmitReport, resolve, submit

#: Shows the statuses while they come, and returns the last one.
Watch = Callable[[Iterator[Status]], Status]


@dataclass(frozen=True)
class RenderReport:
    """What a rendering on this machine left in `folder`: pictures under readable names in
    `images`, the `sheets`, the store, the workers' log. No sheet is there where it would be too
    large to open. `status` counts `flaws` as failed."""

    status: Status
    folder: Path
    sheets: tuple[Path, ...]
    #: Pictures that were stored before and are damaged; the same rendering again draws them.
    flaws: tuple[Flaw, ...]
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
    """One rendering: into `folder`, with `workers` processes, by default one for each GPU."""

    file: BatchFile
    folder: Path
    cache_dir: Path
    workers: int | None
    say: Say
    progress: ProgressCallback
    watch: Watch

    def run(self) -> RenderReport:
        """Order, render, fetch, draw. Raises what `resolve` and `submit` do, and GridfarmError
        when the broker or the workers end; a KeyboardInterrupt hands running cells back first."""
        try:
            matrix, status = self._rendered()
        except KeyboardInterrupt:
            self.say("interrupted: running cells were handed back; the same command goes on")
            raise
        due = known_due(status.batch, matrix, self.store)
        fetched = fetch_pictures(matrix, self.store, self.folder / "images", self.say, due=due)
        sheets = self._sheets(matrix, status.batch)
        status = _as_fetched(status, fetched.flaws)
        return RenderReport(status, self.folder, sheets, fetched.flaws, matrix)

    @cached_property
    def store(self) -> Store:
        return open_store(str((self.folder / "store").absolute()))

    def _rendered(self) -> tuple[Matrix, Status]:
        with local_broker() as broker:
            ledger = broker.ledger
            resolved = resolve(_for_any_gpu(self.file), Hub(self.store, self.say))
            report = self._order(resolved, ledger)
            watcher = StatusWatcher(report.batch, resolved.batch, self.store, ledger, self.say)
            status = self._work(watcher, ledger) if report.queued else watcher.status()
            return watcher.matrix, status

    def _order(self, resolved: Resolved, ledger: Ledger) -> SubmitReport:
        batch = resolved.batch
        forget_failures(batch.id, self.store, self.say)
        taken = take_damaged_away(Matrix(batch), batch.id, self.store, self.progress)
        report = submit(resolved, self.store, ledger, self.progress, say=self.say)
        forget_flaws(self.store, batch.id, taken.dealt_with)
        LastBatch(report.batch, self.store.url).write(self.cache_dir)
        self.say(report.summary)
        return report

    def _work(self, watcher: StatusWatcher, ledger: Ledger) -> Status:
        with local_workers(
            ledger.broker.url,
            self.store.url,
            self.folder / "workers.log",
            workers=self.workers,
            cache=str(self.cache_dir),
        ) as workers:
            return self.watch(_while_alive(watcher.follow(), workers))

    def _sheets(self, matrix: Matrix, batch_id: str) -> tuple[Path, ...]:
        """None if they would be too large: every picture is there, so that is no failure."""
        try:
            sheets = sheets_of_batch(matrix, batch_id, self.store, rows=all_rows(matrix))
            return tuple(save(sheets, self.folder / "grid.png"))
        except SheetTooLarge as too_large:
            self.say(f"no grid is drawn: {too_large.message}")
            return ()


def _for_any_gpu(file: BatchFile) -> BatchFile:
    """What was pinned to a farm's GPU type is rendered by what is here."""
    return replace(file, batch=file.batch.model_copy(update={"gpu": None}))


def need_worker_packages() -> None:
    """Raises UsageError in an install without what renders."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("diffusers") is None:
        raise UsageError(
            "this is a producer-only install: it has no torch to render with",
            hint="pip install 'gridfarm[local]', or gridfarm submit to a farm",
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
