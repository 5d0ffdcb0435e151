"""One attempt at a claimed cell: its picture is drawn and stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from common.job import Job
from common.picture import EncodedPicture, PictureMeta, encode_picture
from worker.assets import AssetUnreadable, DownloadStopped, needs_of
from worker.tasks.failure_policy import FailurePolicy
from worker.tasks.gpu import Gpu
from worker.tasks.leases import Lease
from worker.tasks.protocol import CellAborted, Rendered, RendersJobs
from worker.tasks.uploader import Uploader

log = logging.getLogger(__name__)


class Attempt:
    """Fetches, draws, encodes and uploads. Several threads may: they meet at the GPU alone."""

    def __init__(
        self, renderer: RendersJobs, gpu: Gpu, policy: FailurePolicy, uploader: Uploader
    ) -> None:
        self.renderer = renderer
        self.gpu = gpu
        self.policy = policy
        self.uploader = uploader

    def run(self, lease: Lease, job: Job) -> None:
        """Store the job's picture; one that was drawn before and could not be stored is not
        drawn again.

        Raises StoreError and BrokerError, CellAborted where the cell is not wanted any more,
        AttemptsExhausted, and whatever the renderer raises.
        """
        encoded = self.uploader.take(lease.key) or self._draw(lease, job)
        self.uploader.put(lease.key, encoded)
        if lease.reached_gpu:
            self.gpu.step_timer.stored(lease.last_step_at)

    def _draw(self, lease: Lease, job: Job) -> EncodedPicture:
        self.policy.check_attempts_left(lease)
        self.policy.check_needs(lease, needs_of(job))
        with _stopped_downloads_abort():
            self._fetch(job)
            rendered = self._render(lease, job)
        seconds = sum(rendered.timings.values())
        log.info("%s #%d rendered in %.1f s", lease.batch_id, lease.i, seconds,
                 extra={"batch": lease.batch_id, "cell": lease.i, "key": lease.key,
                        "seconds": round(seconds, 3)})  # fmt: skip
        meta = PictureMeta(job, self.renderer.fingerprint(job), rendered.timings)
        return encode_picture(rendered.image, meta)

    def _fetch(self, job: Job) -> None:
        """Raises AssetUnreadable where the store has trouble with what the job needs alone, and
        StoreError where it has trouble with everything."""
        try:
            self.renderer.fetch(job)
        except AssetUnreadable:
            self.uploader.store.probe()
            raise

    def _load(self, lease: Lease, job: Job) -> None:
        self.renderer.prepare(job)
        self.policy.needs_met(lease, needs_of(job))

    def _render(self, lease: Lease, job: Job) -> Rendered:
        return self.gpu.attempt(
            lease,
            loading=job.model.short_name,
            load=lambda: self._load(lease, job),
            compute=lambda on_step: self.renderer.render(job, on_step),
        )


@contextmanager
def _stopped_downloads_abort() -> Iterator[None]:
    """Downloads are stopped because the process ends, which its cells have to do too."""
    try:
        yield
    except DownloadStopped as error:
        raise CellAborted from error
