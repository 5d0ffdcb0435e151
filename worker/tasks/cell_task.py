"""The task: claim → look in the store → render → store → report.

Four threads of a process run it at once (see DESIGN: one lock around the GPU), so that one
job computes while the others fetch and upload. What a task could not finish is handed back to
the ledger, which sends it again; only `Leaving`, for what was not begun, is raised to Celery,
which puts the message back.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Protocol

from PIL import Image
from pydantic import JsonValue

from common.batch import Cell, Matrix
from common.dispatch import Dispatcher, Ledger, read_batch
from common.errors import (
    BadInput,
    BrokerError,
    GridfarmError,
    HubError,
    ObjectMissing,
    StoreError,
    StoreFull,
    SuspectPicture,
)
from common.job import Job
from common.picture import EncodedPicture, PictureMeta, png
from common.store import FULL, Store, object_names
from worker.assets import Downloads, Stopped
from worker.preemption import Notice
from worker.tasks.failure_policy import Blame, Identity, WornOut
from worker.tasks.leases import Lease, LeaseKeeper
from worker.tasks.step_timer import Pace
from worker.tasks.store_outage import StorePause
from worker.tasks.uploader import Uploader
from worker.tasks.watchdog import Watchdog

log = logging.getLogger(__name__)

RETRY_AFTER_MS = 5_000
HUB_AGAIN_AFTER_MS = 30_000
ENDED_AFTER_MS = 1_000


class Rendered(Protocol):
    @property
    def image(self) -> Image.Image: ...
    @property
    def timings(self) -> dict[str, float]: ...


class RendersJobs(Protocol):
    """What a task needs of `worker.engine.renderer.Renderer`."""

    def fetch(self, job: Job) -> None: ...
    def prepare(self, job: Job) -> None: ...
    def render(self, job: Job, on_step: Callable[[int, int], None] | None = None) -> Rendered: ...
    def fingerprint(self, job: Job) -> dict[str, JsonValue]: ...


class Leaving(Exception):
    """The process takes no more work."""


class CellTask:
    """Renders one cell at a time per thread, one on the GPU."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        ledger: Ledger,
        dispatcher: Dispatcher,
        renderer: RendersJobs,
        leases: LeaseKeeper,
        *,
        restart: Callable[[], None],
        unfit: Callable[[], None] = lambda: None,
        watchdog: Watchdog | None = None,
        downloads: Downloads | None = None,
    ) -> None:
        self.identity = identity
        self.store = store
        self.ledger = ledger
        self.dispatcher = dispatcher
        self.renderer = renderer
        self.leases = leases
        self.unfit = unfit
        self.watchdog = watchdog or Watchdog(log.error)
        self.downloads = downloads or Downloads()
        self.closing = threading.Event()
        self.notice: Notice | None = None
        self.pace = Pace()
        self.blame = Blame(identity, ledger, restart=restart)
        self.pause = StorePause(store, self.closing)
        self._uploader = Uploader(store)
        self._out = ""
        self._on_gpu = ("", "")
        self._gpu = threading.Lock()
        self._rendering: Lease | None = None
        self.matrix = lru_cache(maxsize=16)(self._read_matrix)

    def __call__(self, batch_id: str, i: int, generation: int) -> None:
        """Work on cell i until it is settled, handed back or in other hands. Raises Leaving
        where it was not begun."""
        if self.closing.is_set():
            raise Leaving
        while not self.closing.is_set():
            try:
                self._attempt(batch_id, i, generation)
                return
            except ObjectMissing as error:
                log.warning("%s #%d: %s", batch_id, i, error)
                if self._forgotten(batch_id):
                    return
            except Stopped:
                if not self.closing.is_set():
                    log.info("%s #%d stopped: not wanted here any more", batch_id, i)
                return
            except StoreError as error:
                self.pause.wait(error)
            except BrokerError as error:
                # The lease runs out and the cell is sent again; a picture that is stored stays.
                log.warning("%s #%d: %s", batch_id, i, error)
                return
            except GridfarmError as error:
                log.error("%s #%d: %s", batch_id, i, error)
                return

    @property
    def paused(self) -> str:
        """Why this worker takes no work, "" if it does."""
        return self._out or self.pause.reason

    @property
    def phase(self) -> tuple[str, str]:
        """A worker's state and what is in it, ("", "") where there is nothing to say. What is
        on the GPU counts for more than what is downloaded meanwhile for another cell."""
        if self._on_gpu[0]:
            return self._on_gpu
        downloading = str(self.downloads)
        return ("downloading", downloading) if downloading else ("", "")

    def close(self) -> None:
        """Start nothing more; a worker that is paused stops waiting for the store."""
        self.closing.set()

    def leave(self, notice: Notice) -> None:
        """Take no more work. What has not reached the GPU is handed back now; what is on it is
        finished if it fits into the notice, else handed back at its next denoising step; what
        is being uploaded is finished."""
        self.notice = notice
        self.close()
        self.downloads.stop()
        for lease in self.leases.held:
            with lease.lock:
                begun = lease.entered
                lease.stop.set() if not begun else None
            if not begun:
                self._hand_back_quietly(lease)

    def hand_back_all(self) -> None:
        """Stop at the next denoising step or piece of a download and give every cell in hand
        back to the queue."""
        self.leave(Notice.within(0, "handed back"))
        self.leases.stop_all()

    def abandon(self) -> None:
        """Hand back what is still in hand, whatever its thread is doing: the process ends."""
        for lease in self.leases.held:
            self._hand_back_quietly(lease)

    def stalled(self) -> None:
        """As `abandon`, but the cell on the GPU keeps its charge, and nothing is sent before
        this process, which still listens, has ended."""
        for lease in self.leases.held:
            refund = lease is not self._rendering
            self._hand_back_quietly(lease, refund=refund, pause_ms=ENDED_AFTER_MS)

    def _hand_back_quietly(self, lease: Lease, *, refund: bool = True, pause_ms: int = 0) -> None:
        try:
            self._hand_back(lease, refund=refund, pause_ms=pause_ms)
        except BrokerError as error:
            log.warning("%s not handed back: %s", lease, error)

    def _forgotten(self, batch_id: str) -> bool:
        """Forget a batch whose document is gone; False when the store had to be waited for."""
        try:
            self.dispatcher.forget(batch_id)
        except StoreError as error:
            self.pause.wait(error)
            return False
        return True

    def _attempt(self, batch_id: str, i: int, generation: int) -> None:
        try:
            cell = self.matrix(batch_id)[i]
        except IndexError:
            log.warning("%s has no cell %d", batch_id, i)
            return
        except StoreError:
            raise
        except GridfarmError as error:
            self._fail_without_job(batch_id, i, generation, error)
            return
        if cell is None:
            self._settled(batch_id, self.ledger.skip(batch_id, i))
            return
        answer = self.ledger.claim(batch_id, i, generation, cell.key, self.identity.worker)
        if answer not in ("ok", "tried"):
            log.debug("%s #%d: %s", batch_id, i, answer)
            return
        lease = Lease(batch_id, i, cell.key, tried=answer == "tried")
        with self.leases.holding(lease):
            try:
                self._settle(lease, cell)
            except (StoreError, Stopped):
                self._hand_back(lease, refund=True)
                raise

    def _settle(self, lease: Lease, cell: Cell) -> None:
        """Store the cell or say why not. Raises StoreError, for which no cell is to blame."""
        try:
            self._stop_if_leaving()
            self._render_claimed(lease, cell)
        except (StoreError, Stopped, BrokerError):
            raise
        except BadInput as error:
            self._fail(lease, self._reason(lease.batch_id, error))
        except WornOut as error:
            self._fail(lease, error.message)
        except SuspectPicture as error:
            self._suspect(lease, error)
        except Exception as error:
            self._failed_attempt(lease, error)

    def _render_claimed(self, lease: Lease, cell: Cell) -> None:
        if self.store.exists(object_names.picture(cell.key)):
            log.info("%s #%d stored already", lease.batch_id, cell.i)
        elif self.blame.may_judge(cell.key):
            self._store_picture(lease, cell)
        else:
            self._hand_back(lease, pause_ms=1_000)
            return
        self._settled(lease.batch_id, self.ledger.done(lease.batch_id, cell.i, cell.key))

    def _store_picture(self, lease: Lease, cell: Cell) -> None:
        made = self._uploader.take(cell.key) or self._render(lease, cell.job)
        self._uploader.put(cell.key, made)
        if lease.entered:
            self.pace.stored(lease.stepped)
        self.blame.stored()
        self.pause.forget()

    def _render(self, lease: Lease, job: Job) -> EncodedPicture:
        self.blame.check_not_worn_out(lease)
        self.renderer.fetch(job)
        with self._charging(lease) as charge, self._gpu:
            self._stop_if_asked(lease)
            self._prepare(job)
            self._enter(lease)
            charge()
            rendered = self._draw(lease, job)
        seconds = sum(rendered.timings.values())
        log.info("%s #%d rendered in %.1f s", lease.batch_id, lease.i, seconds,
                 extra={"batch": lease.batch_id, "cell": lease.i, "key": lease.key,
                        "seconds": round(seconds, 3)})  # fmt: skip
        meta = PictureMeta(job, self.renderer.fingerprint(job), rendered.timings)
        return png.encode(rendered.image, meta)

    def _enter(self, lease: Lease) -> None:
        """From here on `leave` lets the cell itself see what fits."""
        with lease.lock:
            self._stop_if_asked(lease)
            self._stop_if_leaving()
            lease.entered = True

    def _draw(self, lease: Lease, job: Job) -> Rendered:
        def on_step(done: int, total: int) -> None:
            self.watchdog.progress()
            lease.stepped = self.pace.step(done)
            self._stop_if_asked(lease)
            if self.notice and self.notice.left_s < self.pace.left_s(done, total):
                raise Stopped

        self.pace.begin()
        lease.stepped, self._rendering = time.monotonic(), lease
        with self._telling("rendering"), self.watchdog.watching():
            return self.renderer.render(job, on_step)

    def _prepare(self, job: Job) -> None:
        """Load models and LoRAs; the timer tells the person that this is going on."""
        with self._telling("loading", job.model.short_name):
            self.renderer.prepare(job)

    @contextmanager
    def _telling(self, state: str, message: str = "") -> Iterator[None]:
        self._on_gpu = (state, message)
        try:
            yield
        finally:
            self._on_gpu = ("", "")

    def _charging(self, lease: Lease) -> AbstractContextManager[Callable[[], None]]:
        who = self.identity
        return self.ledger.charging(lease.batch_id, lease.i, who.machine, who.worker)

    def _stop_if_asked(self, lease: Lease) -> None:
        if lease.stop.is_set():
            raise Stopped

    def _stop_if_leaving(self) -> None:
        if self.closing.is_set():
            raise Stopped

    def _settled(self, batch_id: str, last: bool) -> None:
        if last:
            self.dispatcher.finish(batch_id)
        self.dispatcher.feed()

    def _hand_back(self, lease: Lease, *, pause_ms: int = 0, refund: bool = False) -> None:
        """Once: another thread may have done it. What may be sent at once is."""
        with lease.lock:
            if lease.over:
                return
            lease.over = True
            self.ledger.release(
                lease.batch_id,
                lease.i,
                lease.key,
                self.identity.worker,
                pause_ms=pause_ms,
                refund=refund,
            )
        if self.closing.is_set():
            log.info("%s handed back", lease, extra={"batch": lease.batch_id, "cell": lease.i})
        if not pause_ms:
            self.dispatcher.feed()

    def _fail(self, lease: Lease, reason: str) -> None:
        """The store first, so that a rebuilt ledger knows the failure too."""
        log.error("%s #%d failed: %s", lease.batch_id, lease.i, reason)
        note = {"i": lease.i, "key": lease.key, "reason": reason, "worker": self.identity.worker}
        name = object_names.failure(lease.batch_id, lease.i)
        self.store.put(name, json.dumps(note).encode(), content_type="application/json")
        where = (lease.batch_id, lease.i, lease.key, self.identity.worker)
        with lease.lock:
            lease.over = True
            last = self.ledger.fail(*where, reason)
        self._settled(lease.batch_id, last)

    def _fail_without_job(
        self, batch_id: str, i: int, generation: int, error: GridfarmError
    ) -> None:
        """A cell that cannot be a Job, in a batch too large for `plan` to look at each or whose
        document is damaged: it has no key, so it gets one that no picture has."""
        key = hashlib.sha256(f"{batch_id}#{i}".encode()).hexdigest()
        if self.ledger.claim(batch_id, i, generation, key, self.identity.worker) == "ok":
            self._fail(Lease(batch_id, i, key), _said(error))

    def _reason(self, batch_id: str, error: GridfarmError) -> str:
        """With LoRAs by the names that the person gave them; a Job knows only their hashes."""
        text = _said(error)
        for name, sha256 in self.matrix(batch_id).batch.loras.items():
            text = text.replace(f"LoRA {sha256[:12]}", f"LoRA {name!r}") if sha256 else text
        return text

    def _failed_attempt(self, lease: Lease, error: Exception) -> None:
        """An error that may be the machine's. Three attempts on two machines, or on the only
        one, say that it is the cell's."""
        if isinstance(error, OSError) and error.errno in FULL:
            self._hand_back(lease, refund=True)
            raise StoreFull(f"the disk of {self.identity.machine} is full: {error}") from error
        expected = isinstance(error, GridfarmError)
        log.error("%s #%d: %s", lease.batch_id, lease.i, error, exc_info=not expected)
        if lease.over:
            return
        who = self.identity
        charged = self.ledger.charge(lease.batch_id, lease.i, who.machine, who.worker)
        if not charged:
            return  # frozen or cut off for long; the cell is in other hands
        attempts, machines = charged
        if self.blame.is_the_cells(attempts, machines):
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            self._fail(lease, f"{reason} (after {attempts} attempts)")
        else:
            away = isinstance(error, HubError)
            self._hand_back(lease, pause_ms=HUB_AGAIN_AFTER_MS if away else RETRY_AFTER_MS)
        if not isinstance(error, HubError):
            self._blame_machine(lease, error)

    def _blame_machine(self, lease: Lease, error: Exception) -> None:
        """Take no more work where several different jobs in a row failed here."""
        why = self.blame.failed(lease.key, str(error))
        if why and not self.closing.is_set():
            self._out = why
            log.error("%s", why)
            self.unfit()

    def _suspect(self, lease: Lease, error: SuspectPicture) -> None:
        """NaN or black may be a bad machine's: another process has to see it too."""
        if self.blame.two_agree(lease):
            self._fail(lease, f"{error.message} (two workers agree)")
            return
        log.warning("%s: %s; another worker will try", lease, error.message)
        self._hand_back(lease, pause_ms=1_000)
        self.blame.restart_if_alone()
        self._blame_machine(lease, error)

    def _read_matrix(self, batch_id: str) -> Matrix:
        return Matrix(read_batch(self.store, batch_id))


def _said(error: GridfarmError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
