"""The task: claim → look in the store → render → store → report.

Three threads of a process run it at once (see DESIGN: one lock around the GPU), so that one
job computes while the others fetch and upload. Nothing here raises to Celery: what a task
could not finish is handed back to the ledger, which sends it again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from PIL import Image
from pydantic import JsonValue

from common import keys, picture
from common.dispatch import Dispatcher, read_batch
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
from common.ledger import Ledger
from common.matrix import Cell, Matrix
from common.picture import EncodedPicture, PictureMeta
from common.store import Store
from worker.downloads import Downloads, Stopped, short_name
from worker.leases import Lease, LeaseKeeper

log = logging.getLogger(__name__)

ATTEMPTS = 3
RETRY_AFTER_MS = 5_000
HUB_AGAIN_AFTER_MS = 30_000
PROBE_AFTER_S = (2, 5, 10, 20, 30)


class Rendered(Protocol):
    @property
    def image(self) -> Image.Image: ...
    @property
    def timings(self) -> dict[str, float]: ...


class RendersJobs(Protocol):
    """What a task needs of `worker.render.Renderer`."""

    def fetch(self, job: Job) -> None: ...
    def prepare(self, job: Job) -> None: ...
    def render(self, job: Job, on_step: Callable[[int, int], None] | None = None) -> Rendered: ...
    def fingerprint(self, job: Job) -> dict[str, JsonValue]: ...


@dataclass(frozen=True)
class Identity:
    """Who renders: a process of its own name on a machine."""

    worker: str
    machine: str


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
        downloads: Downloads | None = None,
    ) -> None:
        self.identity = identity
        self.store = store
        self.ledger = ledger
        self.dispatcher = dispatcher
        self.renderer = renderer
        self.leases = leases
        self.restart = restart
        self.downloads = downloads or Downloads()
        self.closing = threading.Event()
        self.paused = ""
        self._on_gpu = ("", "")
        self._gpu = threading.Lock()
        self._probing = threading.Lock()
        self._uploads = ThreadPoolExecutor(4, thread_name_prefix="upload")
        self._suspected: set[str] = set()
        self.matrix = lru_cache(maxsize=16)(self._read_matrix)

    def __call__(self, batch_id: str, i: int, generation: int) -> None:
        """Work on cell i until it is settled, handed back or in other hands."""
        while not self.closing.is_set():
            try:
                self._attempt(batch_id, i, generation)
                return
            except ObjectMissing as error:
                log.warning("%s #%d: %s", batch_id, i, error)
                if self._forgotten(batch_id):
                    return
            except Stopped:
                log.info("%s #%d stopped: not wanted here any more", batch_id, i)
                return
            except StoreError as error:
                self._pause(error)
            except BrokerError as error:
                # The lease runs out and the cell is sent again; a picture that is stored stays.
                log.warning("%s #%d: %s", batch_id, i, error)
                return

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

    def hand_back_all(self) -> None:
        """Stop at the next denoising step or piece of a download and give every cell in hand
        back to the queue."""
        self.close()
        self.leases.stop_all()
        self.downloads.stop()

    def _forgotten(self, batch_id: str) -> bool:
        """Forget a batch whose document is gone; False when the store had to be waited for."""
        try:
            self.dispatcher.forget(batch_id)
        except StoreError as error:
            self._pause(error)
            return False
        return True

    def _attempt(self, batch_id: str, i: int, generation: int) -> None:
        matrix = self.matrix(batch_id)
        try:
            cell = matrix[i]
        except GridfarmError as error:
            self._fail_without_job(batch_id, i, generation, error)
            return
        if cell is None:
            self._settled(batch_id, self.ledger.skip(batch_id, i))
            return
        answer = self.ledger.claim(batch_id, i, generation, cell.key, self.identity.worker)
        if answer != "ok":
            log.debug("%s #%d: %s", batch_id, i, answer)
            return
        lease = Lease(batch_id, i, cell.key)
        with self.leases.holding(lease):
            try:
                self._render_claimed(lease, cell)
            except (StoreError, Stopped):
                self._hand_back(lease, refund=lease.charged is not None)
                raise
            except BrokerError:
                raise
            except BadInput as error:
                self._fail(lease, self._reason(batch_id, error))
            except SuspectPicture as error:
                self._suspect(lease, error.message)
            except Exception as error:
                self._failed_attempt(lease, error)

    def _render_claimed(self, lease: Lease, cell: Cell) -> None:
        if self.store.exists(keys.picture(cell.key)):
            log.info("%s #%d stored already", lease.batch_id, cell.i)
        elif self._mine_alone(lease):
            self._upload(cell.key, self._render(lease, cell.job))
        else:
            self._hand_back(lease, pause_ms=1_000)
            return
        self._settled(lease.batch_id, self.ledger.done(lease.batch_id, cell.i, cell.key))

    def _render(self, lease: Lease, job: Job) -> EncodedPicture:
        self.renderer.fetch(job)
        with self._gpu:
            self._stop_if_asked(lease)
            self._prepare(job)
            self._stop_if_asked(lease)
            self._charge(lease)
            with self._telling("rendering"):
                rendered = self.renderer.render(job, lambda *_: self._stop_if_asked(lease))
        seconds = sum(rendered.timings.values())
        log.info("%s #%d rendered in %.1f s", lease.batch_id, lease.i, seconds)
        meta = PictureMeta(job, self.renderer.fingerprint(job), rendered.timings)
        return picture.encode(rendered.image, meta)

    def _prepare(self, job: Job) -> None:
        """Load models and LoRAs; the timer tells the person that this is going on."""
        with self._telling("loading", short_name(job.model)):
            self.renderer.prepare(job)

    @contextmanager
    def _telling(self, state: str, message: str = "") -> Iterator[None]:
        self._on_gpu = (state, message)
        try:
            yield
        finally:
            self._on_gpu = ("", "")

    def _charge(self, lease: Lease) -> tuple[int, int]:
        machine = self.identity.machine
        lease.charged = self.ledger.charge(lease.batch_id, lease.i, machine)
        return lease.charged

    def _upload(self, key: str, made: EncodedPicture) -> None:
        """Copies first, the picture last: a PNG under its key is a finished cell."""
        copies = [
            self._uploads.submit(
                self.store.put, keys.sidecar(key), made.sidecar, content_type="application/json"
            ),
            self._uploads.submit(
                self.store.put, keys.thumbnail(key), made.thumbnail, content_type="image/webp"
            ),
        ]
        for copy in copies:
            copy.result()
        self.store.put(keys.picture(key), made.png, content_type="image/png")

    def _stop_if_asked(self, lease: Lease) -> None:
        if lease.stop.is_set():
            raise Stopped

    def _settled(self, batch_id: str, last: bool) -> None:
        if last:
            self.dispatcher.finish(batch_id)
        self.dispatcher.feed()

    def _hand_back(self, lease: Lease, *, pause_ms: int = 0, refund: bool = False) -> None:
        self.ledger.release(
            lease.batch_id,
            lease.i,
            lease.key,
            self.identity.worker,
            pause_ms=pause_ms,
            refund=refund,
        )

    def _fail(self, lease: Lease, reason: str) -> None:
        """The store first, so that a rebuilt ledger knows the failure too."""
        log.error("%s #%d failed: %s", lease.batch_id, lease.i, reason)
        note = {"i": lease.i, "key": lease.key, "reason": reason, "worker": self.identity.worker}
        name = keys.failure(lease.batch_id, lease.i)
        self.store.put(name, json.dumps(note).encode(), content_type="application/json")
        where = (lease.batch_id, lease.i, lease.key, self.identity.worker)
        self._settled(lease.batch_id, self.ledger.fail(*where, reason))

    def _fail_without_job(
        self, batch_id: str, i: int, generation: int, error: GridfarmError
    ) -> None:
        """A cell that cannot be a Job, in a batch too large for `plan` to look at each: it has
        no key, so it gets one that no picture has."""
        key = hashlib.sha256(f"{batch_id}#{i}".encode()).hexdigest()
        if self.ledger.claim(batch_id, i, generation, key, self.identity.worker) == "ok":
            self._fail(Lease(batch_id, i, key), self._reason(batch_id, error))

    def _reason(self, batch_id: str, error: GridfarmError) -> str:
        """With LoRAs by the names that the person gave them; a Job knows only their hashes."""
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        for name, sha256 in self.matrix(batch_id).batch.loras.items():
            text = text.replace(f"LoRA {sha256[:12]}", f"LoRA {name!r}") if sha256 else text
        return text

    def _failed_attempt(self, lease: Lease, error: Exception) -> None:
        """An error that may be the machine's. Three attempts on two machines, or on the only
        one, say that it is the cell's."""
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            self._hand_back(lease, refund=lease.charged is not None)
            raise StoreFull(f"the disk of {self.identity.machine} is full: {error}") from error
        expected = isinstance(error, GridfarmError)
        log.error("%s #%d: %s", lease.batch_id, lease.i, error, exc_info=not expected)
        attempts, machines = lease.charged or self._charge(lease)
        live = {worker.machine for worker in self.ledger.workers()} | {self.identity.machine}
        if attempts >= ATTEMPTS and (machines >= 2 or len(live) == 1):
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            self._fail(lease, f"{reason} (after {attempts} attempts)")
        else:
            away = isinstance(error, HubError)
            self._hand_back(lease, pause_ms=HUB_AGAIN_AFTER_MS if away else RETRY_AFTER_MS)

    def _suspect(self, lease: Lease, reason: str) -> None:
        """NaN or black may be a bad machine's: another process has to see it too."""
        if self.ledger.suspect(lease.batch_id, lease.i, self.identity.worker):
            self._fail(lease, f"{reason} (two workers agree)")
            return
        log.warning("%s #%d: %s; another worker will try", lease.batch_id, lease.i, reason)
        self._suspected.add(lease.key)
        self._hand_back(lease, pause_ms=1_000)
        self._restart_if_alone()

    def _mine_alone(self, lease: Lease) -> bool:
        """False for a cell that this process drew black before: it cannot agree with itself."""
        if lease.key not in self._suspected:
            return True
        self._restart_if_alone()
        return False

    def _restart_if_alone(self) -> None:
        if all(worker.name == self.identity.worker for worker in self.ledger.workers()):
            log.warning("the only worker: a fresh process will judge the picture")
            self.restart()

    def _pause(self, error: StoreError) -> None:
        """Take no work until the store answers again. One thread asks, the others wait."""
        self.paused = error.message
        with self._probing:
            if not self.paused:
                return
            log.error("paused: %s", error.message)
            waits = iter(PROBE_AFTER_S)
            wait: float = next(waits)
            while not self.closing.wait(wait):
                wait = next(waits, wait)
                if self._store_answers():
                    log.info("the store answers again")
                    return

    def _store_answers(self) -> bool:
        try:
            self.store.probe()
        except StoreError as error:
            self.paused = error.message
            return False
        self.paused = ""
        return True

    def _read_matrix(self, batch_id: str) -> Matrix:
        return Matrix(read_batch(self.store, batch_id))
