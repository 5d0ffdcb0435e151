"""A job → its picture. Knows no Celery and no S3.

The pipelines are called as the seed author's notebooks call them, with the same arguments: on
an equal fingerprint the picture is theirs, bit for bit (tests/worker/engine/test_parity.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import JsonValue

from common.errors import BadInput, CellError, UsageError
from common.job import Job
from worker.assets import Assets, FileChanged
from worker.engine.fingerprint import device_name, fingerprint, on_cuda
from worker.engine.pipelines import Base, Pipelines, Refiner, quieten
from worker.engine.pixels import to_image
from worker.engine.progress import OnStep, ProgressCallback, Stopwatch
from worker.engine.prompts import PromptEncoder, check_readable
from worker.engine.schedule import base_steps, check_left_out, new_scheduler, refiner_steps
from worker.engine.stages import Stage, base_stage, refiner_stage


def _device(asked: str | None) -> str:
    has_gpu = torch.cuda.is_available()
    if not asked or not on_cuda(asked):
        return asked or ("cuda" if has_gpu else "cpu")
    count, number = torch.cuda.device_count() if has_gpu else 0, asked.partition(":")[2] or "0"
    if int(number) >= count:
        raise UsageError(
            f"--device {asked}: torch {torch.__version__} finds {count} GPUs that it can use",
            hint="is it a build for this driver? python -c 'import torch; torch.cuda.init()' says"
            " why not; --device cpu renders on the CPU, slowly",
        )
    return asked


@dataclass(frozen=True)
class Rendered:
    """A picture, and the seconds spent on `load`, `encode`, `denoise` and `decode`."""

    image: Image.Image
    timings: dict[str, float]


class Renderer:
    """Renders jobs one at a time; threads wait for each other.

    `device` is a torch device, by default the GPU if there is one. `cpu_threads` is how many
    threads torch computes with, by default its own choice; it is part of a CPU's fingerprint.
    Raises UsageError for a GPU that torch cannot use.
    """

    def __init__(
        self, assets: Assets, *, device: str | None = None, cpu_threads: int | None = None
    ) -> None:
        self.device = _device(device)
        self._cpu_threads = cpu_threads or torch.get_num_threads()
        self._assets = assets
        self._pipelines = Pipelines(assets, self.device)
        self._prompts = PromptEncoder()
        self._lock = threading.RLock()
        quieten()

    @property
    def device_name(self) -> str:
        """`NVIDIA L4`, or `cpu x86_64`."""
        return device_name(self.device)

    @property
    def encodings_computed(self) -> int:
        """How many encodings were made: unique (prompt, encoder, adapter state)."""
        return self._prompts.computed

    def fetch(self, job: Job) -> None:
        """Bring what the job needs from store and hub into the cache; the device is not
        touched. Raises BadInput for what the store lacks, HubError and StoreError."""
        for lora in job.loras:
            self._assets.lora(lora.sha256)
        self._assets.model(job.model, "base", job.dtype)
        if job.vae:
            self._assets.model(job.vae, "vae", job.dtype)
        if job.refiner:
            self._assets.model(job.refiner.model, "refiner", job.dtype)

    def prepare(self, job: Job) -> None:
        """Load what the job needs onto the device. Raises BadInput, HubError, StoreError."""
        with self._lock, self._unchanged_files():
            self._load(job)

    def render(self, job: Job, on_step: OnStep | None = None) -> Rendered:
        """The job's picture.

        `on_step(done, total)` is called after each denoising step; what it raises ends the
        render and leaves the renderer as good as new. Raises BadInput for what can never be
        rendered, SuspectPicture for NaN and black, FileChanged for a file of this machine that was
        written meanwhile, and what `prepare` raises.
        """
        with self._lock, self._unchanged_files():
            # A new thread would compute with as many threads as there are cores.
            torch.set_num_threads(self._cpu_threads)
            stopwatch = Stopwatch()
            base, refiner = self._load(job)
            stopwatch.lap("load")
            pixels = self._pixels(job, base, refiner, stopwatch, on_step)
            stopwatch.lap("decode")
            return Rendered(to_image(pixels), stopwatch.timings)

    def fingerprint(self, job: Job) -> dict[str, JsonValue]:
        """What besides the job decides the picture's bits: device, versions, numerics."""
        return fingerprint(job, self.device, self._cpu_threads)

    @contextmanager
    def _unchanged_files(self) -> Iterator[None]:
        """Whatever a file that is written meanwhile leads to, an error or a picture, is not that
        of the job. Raises FileChanged."""
        self._forget_changed()
        try:
            yield
        except CellError as error:
            self._check_unchanged(error)
            raise
        self._check_unchanged()

    def _check_unchanged(self, error: CellError | None = None) -> None:
        if changed := self._forget_changed():
            raise FileChanged(f"{changed[0]} was changed while it was read") from error

    def _forget_changed(self) -> list[Path]:
        """Drop what was made of files that are others now; which."""
        changed = self._assets.forget_changed()
        if changed:
            self._pipelines = Pipelines(self._assets, self.device)
            self._prompts = PromptEncoder()
        return changed

    def _load(self, job: Job) -> tuple[Base, Refiner | None]:
        if job.noise == "cuda" and not on_cuda(self.device):
            raise BadInput(
                f"noise: cuda needs a CUDA device, and this worker renders on {self.device}",
                hint="set noise: cpu, or start a worker on a machine with a GPU",
            )
        base = self._pipelines.base(job)
        base.loras.use(job.loras)
        return base, self._pipelines.refiner(job, base) if job.refiner else None

    def _pixels(
        self,
        job: Job,
        base: Base,
        refiner: Refiner | None,
        stopwatch: Stopwatch,
        on_step: OnStep | None,
    ) -> torch.Tensor:
        """(1, 3, height, width), 0…1."""
        stages = [base_stage(job), *([refiner_stage(job)] if refiner else [])]
        progress = ProgressCallback(self._plan(job, base, refiner, stages), stopwatch, on_step)
        drawn = self._base_stage(job, base, stages[0], progress)
        if refiner is None:
            return drawn
        return self._refiner_stage(job, base, refiner, stages[1], progress, drawn)

    def _plan(self, job: Job, base: Base, refiner: Refiner | None, stages: list[Stage]) -> int:
        """Give each stage its scheduler; the number of steps of both. Raises BadInput for what
        the refiner could not do, before the base has done its part."""
        base.pipe.scheduler = new_scheduler(base.own_scheduler, job.scheduler, stages[0].steps)
        steps = base_steps(base.pipe.scheduler, job.high_noise_frac)
        if refiner is None:
            return steps
        finished = steps == len(base.pipe.scheduler.timesteps)
        return steps + self._plan_refiner(job, refiner, stages[1], finished)

    def _plan_refiner(self, job: Job, refiner: Refiner, stage: Stage, finished: bool) -> int:
        for text in (*stage.prompts, *(stage.negatives(zeros_for_none=True) or ())):
            check_readable(text)
        refiner.pipe.scheduler = new_scheduler(refiner.own_scheduler, job.scheduler, stage.steps)
        steps = refiner_steps(refiner.pipe, stage, self.device)
        if not steps:
            check_left_out(job, stage, finished)
        return steps

    def _base_stage(
        self, job: Job, base: Base, stage: Stage, progress: ProgressCallback
    ) -> torch.Tensor:
        encoders = ("text_encoder", "text_encoder_2")
        prompts = self._conditioning(job, base, base.pipe, stage, *encoders)
        progress.stopwatch.lap("encode")
        return self._run(base.pipe, job, stage, progress, **prompts)

    def _refiner_stage(
        self,
        job: Job,
        base: Base,
        refiner: Refiner,
        stage: Stage,
        progress: ProgressCallback,
        latents: torch.Tensor,
    ) -> torch.Tensor:
        base.loras.text_encoders_off()
        prompts = self._conditioning(job, base, refiner.pipe, stage, "text_encoder_2")
        progress.stopwatch.lap("encode")
        return self._run(refiner.pipe, job, stage, progress, image=latents, **prompts)

    def _run(
        self, pipe: Any, job: Job, stage: Stage, progress: ProgressCallback, **tensors: torch.Tensor
    ) -> torch.Tensor:
        """One stage. Each has a generator of its own with the job's seed."""
        device = self.device if job.noise == "cuda" else "cpu"
        return pipe(
            num_inference_steps=stage.steps,
            guidance_scale=stage.guidance_scale,
            generator=torch.Generator(device).manual_seed(job.seed),
            callback_on_step_end=progress,
            **stage.arguments,
            **tensors,
        ).images

    def _conditioning(
        self, job: Job, base: Base, pipe: Any, stage: Stage, *encoders: str
    ) -> dict[str, torch.Tensor]:
        zeros_for_none = pipe.config.force_zeros_for_empty_prompt or not stage.guided
        return self._prompts.conditioning(
            stage.prompts,
            stage.negatives(zeros_for_none=zeros_for_none),
            [base.encoder(encoder) for encoder in encoders],
            truncate=job.long_prompts == "truncate",
            zeros_for_none=zeros_for_none,
        )
