"""gridfarm for scripts and notebooks: what each command does is a method of `Farm`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.assets import FileHashes
from common.batch import slug
from common.config import load_config
from common.dispatch import FarmStore
from common.errors import UsageError
from common.store import Store
from producer.batches import (
    LAST,
    FoundBatch,
    Listing,
    Removal,
    RemovalPlan,
    Status,
    StatusWatcher,
    Steering,
    changes,
    due_cells,
    known_due,
    list_batches,
    priority_number,
)
from producer.catalogue import remember
from producer.doctor import Check, examine
from producer.farm.batch_argument import (
    BatchArgument,
    Set,
    TrialOptions,
    Where,
    cell_of,
    picture_file,
    read_argument,
    tried,
    where_options,
)
from producer.farm.connections import Connections
from producer.language import BatchFile, parse_where
from producer.lint import equal_cells
from producer.local import (
    LocalRender,
    RenderReport,
    Watch,
    need_worker_packages,
    watch_silently,
)
from producer.pictures import (
    BatchRecipe,
    FetchReport,
    Recipe,
    SheetRecipe,
    StoredPicture,
    VerifyReport,
    chosen_cells,
    fetch_pictures,
    stored_pictures,
    verify_pictures,
)
from producer.progress import ProgressCallback, Say, say_nothing, show_no_progress
from producer.sheet import Sheet, all_rows, one_image, save, sheets_of_batch
from producer.submission import Hub, Plan, SubmitReport, plan_batch, resolve, submit

if TYPE_CHECKING:
    from PIL.Image import Image


class Farm:
    r"""A broker, a store, and what is done with them; without either, this machine.

        farm = Farm()
        farm.render("batch.yaml", model="tiny", limit=4)
        farm.grid()                                       # a PIL image: a notebook shows it

    `broker` (redis:// or rediss:// URL), `store` (s3://bucket/prefix, or a folder) and `cache` (a
    folder) are those of the command line: what is not given comes from `GRIDFARM_BROKER`,
    `GRIDFARM_STORE` and `GRIDFARM_CACHE`, then from `gridfarm.toml` here or in a folder above. They
    are read once, now. A store that is not named is gridfarm-out/store, here or in a folder above.

    A Farm prints nothing. `say(text)` is called with each note for a person (`say=print`),
    `progress(what, done, of)` while something takes more than a moment.

    `batch` is, in every method, one of
        a path               "batch.yaml", Path("batch.yaml")
        a batch file's text  "prompts: [a wolf]\nseeds: 0..3"
        a mapping            {"prompts": ["a wolf"], "seeds": "0..3"}
        a word               an id, the beginning of one, a name, or "@last": the batch of this
                             store that was rendered or submitted last from this machine

    `plan`, `submit` and `render` take the trial options of the command line as `set`, `where`,
    `limit` and `model`: `set={"steps": 10}` or `"steps=10"`; `where={"prompt": "wolf"}` or
    `"prompt=wolf"` or `["prompt=wolf", "steps>20"]`; `limit=4` cells; `model="tiny"`.

    Every expected error is a `GridfarmError` (`common.errors`): its `message` says what is wrong,
    `hint` what to do. BatchFileError carries all mistakes of a file. NotFound is a batch that the
    store has not, StoreError and BrokerError are servers that are away or refuse, and UsageError
    is raised where none is configured.
    """

    def __init__(
        self,
        *,
        broker: str | None = None,
        store: str | PathLike[str] | None = None,
        cache: str | PathLike[str] | None = None,
        say: Say = say_nothing,
        progress: ProgressCallback = show_no_progress,
    ) -> None:
        self.config = load_config({"broker": broker, "store": store, "cache": cache})
        self.say = say
        self.progress = progress
        self._servers = Connections(self.config, say, progress)

    def __repr__(self) -> str:
        ledger = self._servers.ledger_if_any
        broker = f"broker={ledger.broker.place!r}" if ledger else ""
        store = f"store={self.config.store!r}" if self.config.store else ""
        return f"Farm({', '.join(filter(None, (broker, store))) or 'this machine'})"

    def plan(
        self,
        batch: BatchArgument,
        *,
        set: Set = (),
        where: Where = (),
        limit: int | None = None,
        model: str | None = None,
        exact: bool = False,
    ) -> Plan:
        """What `batch` would render: counts, bytes, notes. Works offline; with a store it also
        knows which pictures are there. `exact` counts equal cells and stored pictures above 10,000
        cells too, and hashes files anew. Raises BatchFileError, InputFileError, UsageError."""
        file = self._tried(batch, TrialOptions.of(set, where, limit, model))
        store = self._servers.reachable_store
        plan = plan_batch(file, store, self.config, exact=exact, progress=self.progress)
        notes = (*equal_cells(plan.matrix), *plan.notes)
        for note in notes:
            self.say(f"note: {note}")
        return replace(plan, notes=(*file.notes, *notes))

    def render(
        self,
        batch: BatchArgument,
        *,
        out: str | PathLike[str] | None = None,
        workers: int | None = None,
        set: Set = (),
        where: Where = (),
        limit: int | None = None,
        model: str | None = None,
        watch: Watch | None = None,
    ) -> RenderReport:
        """Render `batch` on this machine, with a broker and workers that are ended with it; a
        configured broker has no part in it. The store is the configured one, else
        gridfarm-out/store here or in a folder above, else made here.

        `out` is the folder for grid and pictures, by default gridfarm-out/NAME, for a trial one in
        that; `workers` the number of processes, by default one for each GPU. `watch` is given the
        statuses while they come and returns the last one. Failed cells raise nothing: see
        `report.status`. Raises what `submit` does, and UsageError in an install without torch.
        """
        need_worker_packages()
        options = TrialOptions.of(set, where, limit, model)
        file = self._tried(batch, options)
        store, place = self._servers.render_store(out), self._servers.place
        folder = Path(out) if out else place.view(file.batch.name, options.label)
        watch = watch or partial(watch_silently, progress=self.progress)
        told = (self.say, self.progress, watch)
        return LocalRender(file, store, folder, self.config.cache_dir, workers, *told).run()

    def submit(
        self,
        batch: BatchArgument,
        *,
        gpu: str | None = None,
        priority: str | None = None,
        set: Set = (),
        where: Where = (),
        limit: int | None = None,
        model: str | None = None,
    ) -> SubmitReport:
        """Order `batch` from the farm. The same file again is the same batch: what is stored is
        not rendered twice, a cancelled batch goes on, failed cells stay failed (`retry`).

        Only workers started with `--gpu TYPE` render what is pinned to `gpu=TYPE`; `priority` is
        "high", "normal" or "low". Raises BatchFileError, InputFileError, UsageError, HubError,
        StoreError and BrokerError.
        """
        file = self._tried(batch, TrialOptions.of(set, where, limit, model))
        if gpu:
            file = replace(file, batch=file.batch.model_copy(update={"gpu": slug(gpu)}))
        number = priority_number(priority)
        ledger, store = self._servers.ledger, self._servers.farm_store
        ledger.broker.ping()
        resolved = resolve(file, Hub(store, self.say), self.config.cache_dir, self.progress)
        report = submit(resolved, store, ledger, self.progress, priority=number, say=self.say)
        remember(self.config.cache_dir, report.batch, store)
        return report

    def batches(self, most: int | None = None) -> Listing:
        """How the batches of the store stand, the latest first, `most` of them, and the `total`."""
        local, ledger = self._servers.listing_ledgers(self.store)
        return list_batches(self.store, ledger, most, local=local)

    def status(self, batch: BatchArgument = LAST) -> Status:
        """How `batch` stands: counts, and why cells failed. Without a broker, or when that is
        away, the store answers."""
        found = self.find(batch)
        ledger = self._servers.answering_ledger(found.store, found.id)
        return StatusWatcher(found.id, found.document, found.store, ledger).status()

    def follow(self, batch: BatchArgument = LAST) -> Iterator[Status]:
        """The status of `batch` now, and again whenever it has changed; the last one when it is
        over. Raises BrokerError when the broker stays away for a minute, NotFound when the batch
        was removed, StoreError when every worker was paused for five minutes, or the farm moved."""
        return changes(self.watcher(batch).follow())

    def watcher(self, batch: BatchArgument = LAST) -> StatusWatcher:
        """For a display that moves: its `follow()` looks four times a second, changed or not."""
        found = self.find(batch)
        ledger = self._servers.watched_ledger(found.store, found.id)
        return StatusWatcher(found.id, found.document, found.store, ledger, self.say)

    def wait(self, batch: BatchArgument = LAST) -> Status:
        """The status of `batch` when it is done or cancelled. Raises what `follow` does."""
        return watch_silently(self.watcher(batch).follow(), self.progress)

    def cancel(self, batch: BatchArgument) -> Status:
        """Stop `batch`: nothing more of it is begun, running cells stop within seconds, what is
        stored stays. This, and the four below, return the status afterwards. Where the broker is
        away, BrokerError is raised, but the store knows it, and the workers follow."""
        return self._steering(batch).cancel()

    def pause(self, batch: BatchArgument) -> Status:
        """Hold `batch`: nothing more of it is begun, running cells are finished."""
        return self._steering(batch).pause()

    def resume(self, batch: BatchArgument, *, priority: str | None = None) -> Status:
        """Go on with `batch`, paused or cancelled. Failed cells stay failed."""
        return self._steering(batch).resume(priority)

    def retry(
        self, batch: BatchArgument, *, everything: bool = False, priority: str | None = None
    ) -> Status:
        """Render the failed cells of `batch` again, and the pictures that are lost: not in the
        store any more, or found damaged by `verify` or `fetch`. Above 10,000 cells only
        `everything` looks which are there."""
        return self._steering(batch).retry(everything=everything, priority=priority)

    def prioritise(self, batch: BatchArgument, priority: str) -> Status:
        """Let `batch` go before the others ("high"), or after them ("low")."""
        return self._steering(batch).prioritise(priority)

    def remove(
        self,
        *batches: BatchArgument,
        cancel: bool = False,
        keep_pictures: bool = False,
        confirm: Callable[[RemovalPlan], bool] | None = None,
    ) -> RemovalPlan | None:
        """Take batches out of the store, with the pictures that no other batch has; what went.

        `cancel` stops what is not finished, which raises UsageError otherwise. `confirm` is asked
        with what would go; where it says no, nothing is removed and None returned. Whatever is
        submitted meanwhile keeps its pictures. Raises UsageError, StoreError and BrokerError.
        """
        removal = self._removal(batches)
        removal.check_finished(cancel=cancel)
        if confirm and not confirm(removal.plan(keep_pictures=keep_pictures)):
            return None
        return removal.run(cancel=cancel, keep_pictures=keep_pictures)

    def grid(
        self,
        batch: BatchArgument = LAST,
        *,
        rows: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        where: Where = (),
        cell_size: int | None = None,
    ) -> Image:
        """`batch` as one labelled PIL image; cells that are missing or failed are shown as such.

        `rows` and `columns` name axes ("prompt", "prompt,seed", ["prompt", "seed"]); by default
        every axis but the last becomes rows. `cell_size` is a picture's longer side in pixels.
        Raises UsageError for an unknown axis, what makes several sheets, and one too large.
        """
        chosen = {"rows": rows, "columns": columns, "cell_size": cell_size}
        return one_image(_sheets(self.find(batch), where, **chosen))

    def save_grid(
        self,
        batch: BatchArgument,
        path: str | PathLike[str],
        *,
        rows: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        where: Where = (),
        cell_size: int | None = None,
    ) -> list[Path]:
        """Draw `batch` into the PNG `path`, or NAME.png in that folder; where axes are left over,
        into one for each of their values, PATH-LABEL.png; the files. By default up to 400 cells
        are one sheet, as from `grid`, and more have the prompts as rows. Raises UsageError."""
        chosen = {"rows": rows, "columns": columns, "cell_size": cell_size}
        return save(_sheets(self.find(batch), where, **chosen), path)

    def pictures(
        self, batch: BatchArgument = LAST, *, where: Where = ()
    ) -> Iterator[StoredPicture]:
        """The pictures of `batch` that are stored, in the order of its cells: number, labels,
        job, and, fetched when it is asked for, the PIL image. Raises UsageError, StoreError."""
        found = self.find(batch)
        cells = chosen_cells(found.matrix, parse_where(where_options(where)))
        return stored_pictures(cells, found.store)

    def fetch(self, batch: BatchArgument, folder: str | PathLike[str]) -> FetchReport:
        """Copy the pictures of `batch` to `folder`, under readable names. What is there already is
        left alone, what is damaged not taken: see `report.flaws`. Raises UsageError for a folder
        that cannot be written, StoreError."""
        found, told = self.find(batch), (self.say, self.progress)
        due = known_due(found.id, found.matrix, found.store)
        return fetch_pictures(
            found.matrix, found.store, Path(folder), *told, batch_id=found.id, due=due
        )

    def verify(self, batch: BatchArgument = LAST, *, quick: bool = False) -> VerifyReport:
        """Read every picture of `batch` that should be stored, and say which are missing, damaged
        or cannot be read; `quick` only looks whether they are there. `retry` draws them again.
        What is not rendered yet is no flaw. Raises StoreError."""
        found = self.find(batch)
        ledger = self._servers.answering_ledger(found.store, found.id)
        due = due_cells(found.id, found.matrix, found.store, ledger)
        told = (self.say, self.progress)
        return verify_pictures(found.id, due, due.count, found.store, *told, quick=quick)

    def show(self, what: BatchArgument) -> Recipe | SheetRecipe | BatchRecipe:
        """How something was made: the recipe of a PNG file ("wolf.png", a sheet) or of a cell
        ("wrong-lora#3"), or else the batch file that orders a batch again. Raises NotFound."""
        if file := picture_file(what):
            return Recipe.of_file(file)
        batch, i = cell_of(what)
        found = self.find(batch)
        if i is not None:
            return Recipe.of_cell(found.id, found.document, i, found.store)
        return BatchRecipe.of_batch(found.id, found.document, FileHashes(self.config.cache_dir))

    @property
    def store(self) -> Store:
        """Where batches are looked for. Raises UsageError where there is none."""
        return self._servers.store

    def find(self, batch: BatchArgument) -> FoundBatch:
        """The batch of the store that `batch` means: its `id`, `document` and `matrix`. Every
        method takes it, too. Raises NotFound."""
        return self._servers.find(batch)

    def examine(self) -> list[Check]:
        """What works here, and what to do about the rest: broker, store, workers, GPU."""
        return examine(self.config, self._servers.rendered)

    def adopt_store(self) -> list[str]:
        """Make the configured store the one that the broker's farm works with. The ids of the
        batches that the broker has forgotten, which the other store keeps."""
        return FarmStore(self._servers.farm_store, self._servers.ledger).adopt(forget_other=True)

    def _tried(self, batch: BatchArgument, options: TrialOptions) -> BatchFile:
        """The batch file that is meant, or that a batch of the store comes from, changed."""
        meant = read_argument(batch)
        if not isinstance(meant, BatchFile):
            meant = BatchFile(self.find(meant).document, Path.cwd(), {})
        return tried(meant, options, self.say, self.config.cache_dir)

    def _steering(self, batch: BatchArgument) -> Steering:
        found = self.find(batch)
        ledger = self._servers.steering_ledger(found.store, found.id)
        return Steering(found.id, found.document, found.store, ledger, self.say, self.progress)

    def _removal(self, batches: Sequence[BatchArgument]) -> Removal:
        if not batches:
            raise UsageError("no batch is named", hint="name what is to be removed")
        store = self._servers.store_of_first(batches)
        documents = dict(self._servers.find_removable(batch, store) for batch in batches)
        ledger = self._servers.ledger_of_all(store, documents)
        return Removal(documents, store, ledger, self.say, self.progress)


def _sheets(found: FoundBatch, where: Where, **chosen: Any) -> list[Sheet]:
    """One sheet, if that may be, where neither rows nor columns are chosen."""
    kept = parse_where(where_options(where))
    if chosen["rows"] is None and chosen["columns"] is None:
        chosen["rows"] = all_rows(found.matrix, kept)
    return sheets_of_batch(found.matrix, found.id, found.store, where=kept, **chosen)
