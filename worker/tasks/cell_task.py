"""The task: claim → look in the store → attempt → report.

Several threads of a process run it at once, so that one job computes while the others fetch and
upload. What a task could not finish is handed back to the ledger, which sends it again; only
`ShuttingDown`, for what was not begun, is raised to Celery, which puts the message back.
"""

from __future__ import annotations

import hashlib
import logging

from common.batch import Cell
from common.errors import BadInput, BrokerError, GridfarmError, ObjectMissing, StoreError
from common.picture import is_stored
from worker.tasks.attempt import Attempt
from worker.tasks.failure_policy import SUSPECT_RETRY_AFTER_MS, FailurePolicy, reason_of
from worker.tasks.gpu import Gpu
from worker.tasks.in_hand import InHand
from worker.tasks.leases import Lease
from worker.tasks.matrices import Matrices
from worker.tasks.protocol import CellAborted, RendersJobs, ShuttingDown
from worker.tasks.store_outage import StoreOutage
from worker.tasks.uploader import Uploader

log = logging.getLogger(__name__)

#: How the references of models begin that are files of somebody's own.
LOCAL = ("tree:", "file:")


class CellTask:
    """Renders one cell at a time per thread, one on the GPU."""

    def __init__(
        self,
        in_hand: InHand,
        gpu: Gpu,
        policy: FailurePolicy,
        outage: StoreOutage,
        renderer: RendersJobs,
    ) -> None:
        self.in_hand = in_hand
        self.gpu = gpu
        self.policy = policy
        self.outage = outage
        self.store = in_hand.store
        self.attempt = Attempt(renderer, gpu, policy, Uploader(in_hand.store))
        self.matrices = Matrices(in_hand.store, in_hand.ledger.note_read)

    def __call__(self, batch_id: str, i: int, generation: int) -> None:
        """Work on cell i until it is settled, handed back or in other hands. Raises ShuttingDown
        where it was not begun."""
        closing = self.in_hand.closing
        if closing.is_set():
            raise ShuttingDown
        while not closing.is_set():
            try:
                self.outage.wait_for_farm_store()
                self._work_on(batch_id, i, generation)
                return
            except CellAborted:
                if not closing.is_set():
                    log.info("%s #%d stopped: not wanted here any more", batch_id, i)
                return
            except StoreError as error:
                self.outage.wait(error)
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
        return self.policy.quarantined or self.outage.reason

    @property
    def phase(self) -> tuple[str, str]:
        """A worker's state and what is in it, ("", "") where there is nothing to say. What is
        on the GPU counts for more than what is downloaded meanwhile for another cell."""
        on_gpu, downloading = self.gpu.phase, str(self.in_hand.downloads)
        if on_gpu[0]:
            return on_gpu
        if downloading:
            return "downloading", downloading
        return ("retrying", self.policy.troubled) if self.policy.troubled else ("", "")

    @property
    def steps(self) -> tuple[int, int]:
        """How far a picture is that takes long (`Gpu.steps`)."""
        return self.gpu.steps

    def _work_on(self, batch_id: str, i: int, generation: int) -> None:
        try:
            cell = self.matrices.of(batch_id)[i]
        except IndexError:
            log.warning("%s has no cell %d", batch_id, i)
            return
        except StoreError as error:
            self._set_aside(batch_id, error)
            return
        except BrokerError:
            raise
        except GridfarmError as error:
            self._fail_without_job(batch_id, i, generation, error)
            return
        if cell is None:
            self.in_hand.skip(batch_id, i)
        elif lease := self.in_hand.claim(batch_id, i, generation, cell.key):
            with self.in_hand.holding(lease):
                self._settle(lease, cell)

    def _set_aside(self, batch_id: str, error: StoreError) -> None:
        """A batch whose document alone cannot be read costs only itself: it is forgotten where it
        is proven gone, and else left alone for a while. Raises StoreError where the store, or
        this machine, has the trouble."""
        self.outage.farm_store.probe()
        log.warning("%s is set aside: %s", batch_id, error.message)
        rebuild, ledger = self.in_hand.dispatcher.rebuild, self.in_hand.ledger
        gone = isinstance(error, ObjectMissing) and rebuild.forget_if_gone(batch_id)
        if not gone and not ledger.set_aside(batch_id, reason_of(error)):
            raise error

    def _settle(self, lease: Lease, cell: Cell) -> None:
        """Store the cell or say why not. Raises StoreError, for which no cell is to blame."""
        try:
            self.in_hand.check_open()
            self._complete(lease, cell)
        except (StoreError, CellAborted, BrokerError):
            raise
        except BadInput as error:
            self._report_failure(lease, self._with_names(lease.batch_id, error))
        except Exception as error:
            self._report_failure(lease, error)

    def _complete(self, lease: Lease, cell: Cell) -> None:
        if is_stored(self.store, cell.key):
            log.info("%s #%d stored already", lease.batch_id, cell.i)
        elif self.policy.may_retry_suspect(cell.key):
            self.attempt.run(lease, cell.job)
            self.policy.picture_stored()
            self.outage.forget()
        else:
            self.in_hand.hand_back(lease, pause_ms=SUSPECT_RETRY_AFTER_MS)
            return
        self.in_hand.done(lease)

    def _report_failure(self, lease: Lease, error: Exception) -> None:
        verdict = self.policy.verdict(lease, error)
        if verdict is None:
            return
        if verdict.reason:
            self.in_hand.fail(lease, verdict.reason)
        else:
            self.policy.hold(lease, verdict)
            self.in_hand.hand_back(lease, pause_ms=verdict.retry_ms)
        if verdict.machine_suspected:
            self.policy.suspect_machine(lease, error)

    def _fail_without_job(
        self, batch_id: str, i: int, generation: int, error: GridfarmError
    ) -> None:
        """A cell that cannot be a Job, in a batch too large for `plan` to look at each or whose
        document is damaged: it has no key, so it gets one that no picture has."""
        key = hashlib.sha256(f"{batch_id}#{i}".encode()).hexdigest()
        if lease := self.in_hand.claim(batch_id, i, generation, key):
            self.in_hand.fail(lease, reason_of(error))

    def _with_names(self, batch_id: str, error: BadInput) -> BadInput:
        """By the names that the person gave its local models and its LoRAs; a Job knows only
        their hashes."""
        batch = self.matrices.of(batch_id).batch
        local = {ref: name for name, ref in batch.models.items() if ref and ref[:5] in LOCAL}
        names = {f"LoRA {sha[:12]}": f"LoRA {name!r}" for name, sha in batch.loras.items() if sha}
        texts = [error.message, error.hint]
        for hashed, name in (local | names).items():
            texts = [text.replace(hashed, name) for text in texts]
        named = type(error)(texts[0], hint=texts[1])
        named.needs = error.needs
        return named
