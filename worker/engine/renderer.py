"""A job → its picture. Knows no Celery and no S3.

The pipelines are called as the seed author's notebooks call them, with the same arguments: on
an equal fingerprint the picture is theirs, bit for bit (tests/worker/engine/test_parity.py).
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from pydantic import JsonValue

from common.errors import BadInput, SuspectPicture
from common.job import Job
from worker.assets import Assets
from worker.engine.pipelines import Base, Pipelines, Refiner, quieten, scheduler
from worker.engine.prompts import PromptEncoder, check_readable
from worker.engine.stages import Stage, base_stage, refiner_stage

OnStep = Callable[[int, int], None]

LIBRARIES = ("torch", "diffusers", "transformers", "compel", "peft")


@dataclass(frozen=True)
class Rendered:
    """A picture, and the seconds spent on `load`, `encode`, `denoise` and `decode`."""

    image: Image.Image
    timings: dict[str, float]


class Stopwatch:
    """Adds the time since the last lap to a part's total."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.timings[part] = self.timings.get(part, 0.0) + now - self._last
        self._last = now


class Progress:
    """Follows both stages step by step; what the pipelines know as `callback_on_step_end`."""

    def __init__(self, total: int, watch: Stopwatch, on_step: OnStep | None) -> None:
        self.total = total
        self.done = 0
        self.watch = watch
        self._on_step = on_step

    def __call__(self, pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.done += 1
        if self._on_step:
            self._on_step(self.done, self.total)
        if step + 1 == pipe.num_timesteps:
            _check_finite(tensors["latents"], "the latents")
            self.watch.lap("denoise")
        return {}


class Renderer:
    """Renders jobs one at a time; threads wait for each other.

    `device` is a torch device, by default the GPU if there is one. `cpu_threads` is how many
    threads torch computes with, by default its own choice; it is part of a CPU's fingerprint.
    """

    def __init__(
        self, assets: Assets, *, device: str | None = None, cpu_threads: int | None = None
    ) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._cpu_threads = cpu_threads or torch.get_num_threads()
        self._assets = assets
        self._pipelines = Pipelines(assets, self.device)
        self._prompts = PromptEncoder()
        self._lock = threading.RLock()
        quieten()

    @property
    def device_name(self) -> str:
        """`NVIDIA L4`, or `cpu x86_64`."""
        if self._on_cuda:
            return str(torch.cuda.get_device_name(self.device))
        return f"{self.device} {platform.machine()}"

    @property
    def encodings_computed(self) -> int:
        """How many encodings were made: unique (prompt, encoder, adapter state)."""
        return self._prompts.computed

    @property
    def _on_cuda(self) -> bool:
        return self.device.startswith("cuda")

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
        with self._lock:
            self._load(job)

    def render(self, job: Job, on_step: OnStep | None = None) -> Rendered:
        """The job's picture.

        `on_step(done, total)` is called after each denoising step; what it raises ends the
        render and leaves the renderer as good as new. Raises BadInput for what can never be
        rendered, SuspectPicture for NaN and black, and what `prepare` raises.
        """
        with self._lock:
            # A new thread would compute with as many threads as there are cores.
            torch.set_num_threads(self._cpu_threads)
            watch = Stopwatch()
            base, refiner = self._load(job)
            watch.lap("load")
            pixels = self._pixels(job, base, refiner, watch, on_step)
            watch.lap("decode")
            return Rendered(_picture(pixels), watch.timings)

    def fingerprint(self, job: Job) -> dict[str, JsonValue]:
        """What besides the job decides the picture's bits: device, versions, numerics."""
        mark: dict[str, JsonValue] = {
            "device": self.device.partition(":")[0],
            "name": self.device_name,
            **{library: version(library) for library in LIBRARIES},
            "matmul": torch.get_float32_matmul_precision(),
        }
        if not self._on_cuda or job.noise == "cpu":
            mark["instruction_set"] = torch.backends.cpu.get_cpu_capability()
        return mark | (_cuda_numerics() if self._on_cuda else {"cpu_threads": self._cpu_threads})

    def _load(self, job: Job) -> tuple[Base, Refiner | None]:
        if job.noise == "cuda" and not self._on_cuda:
            raise BadInput(
                f"noise: cuda needs a CUDA device, and this worker renders on {self.device}",
                hint="set noise: cpu, or start a worker on a machine with a GPU",
            )
        base = self._pipelines.base(job)
        base.adapters.use(job.loras)
        return base, self._pipelines.refiner(job, base) if job.refiner else None

    def _pixels(
        self,
        job: Job,
        base: Base,
        refiner: Refiner | None,
        watch: Stopwatch,
        on_step: OnStep | None,
    ) -> torch.Tensor:
        """(1, 3, height, width), 0…1."""
        stages = [base_stage(job), *([refiner_stage(job)] if refiner else [])]
        follow = Progress(self._plan(job, base, refiner, stages), watch, on_step)
        drawn = self._base_stage(job, base, stages[0], follow)
        if refiner is None:
            return drawn
        return self._refiner_stage(job, base, refiner, stages[1], follow, drawn)

    def _plan(self, job: Job, base: Base, refiner: Refiner | None, stages: list[Stage]) -> int:
        """Give each stage its scheduler; the number of steps of both. Raises BadInput for what
        the refiner could not do, before the base has done its part."""
        base.pipe.scheduler = scheduler(base.own_scheduler, job.scheduler, stages[0].steps)
        steps = _base_steps(base.pipe.scheduler, job.high_noise_frac)
        if refiner is None:
            return steps
        finished = steps == len(base.pipe.scheduler.timesteps)
        return steps + self._plan_refiner(job, refiner, stages[1], finished)

    def _plan_refiner(self, job: Job, refiner: Refiner, stage: Stage, finished: bool) -> int:
        for text in (*stage.prompts, *(stage.negatives(zeros_for_none=True) or ())):
            check_readable(text)
        refiner.pipe.scheduler = scheduler(refiner.own_scheduler, job.scheduler, stage.steps)
        steps = _refiner_steps(refiner.pipe, stage, self.device)
        if not steps:
            _check_left_out(job, stage, finished)
        return steps

    def _base_stage(self, job: Job, base: Base, stage: Stage, follow: Progress) -> torch.Tensor:
        encoders = ("text_encoder", "text_encoder_2")
        prompts = self._conditioning(job, base, base.pipe, stage, *encoders)
        follow.watch.lap("encode")
        return self._run(base.pipe, job, stage, follow, **prompts)

    def _refiner_stage(
        self,
        job: Job,
        base: Base,
        refiner: Refiner,
        stage: Stage,
        follow: Progress,
        latents: torch.Tensor,
    ) -> torch.Tensor:
        base.adapters.text_encoders_off()
        prompts = self._conditioning(job, base, refiner.pipe, stage, "text_encoder_2")
        follow.watch.lap("encode")
        return self._run(refiner.pipe, job, stage, follow, image=latents, **prompts)

    def _run(
        self, pipe: Any, job: Job, stage: Stage, follow: Progress, **tensors: torch.Tensor
    ) -> torch.Tensor:
        """One stage. Each has a generator of its own with the job's seed."""
        device = self.device if job.noise == "cuda" else "cpu"
        return pipe(
            num_inference_steps=stage.steps,
            guidance_scale=stage.guidance_scale,
            generator=torch.Generator(device).manual_seed(job.seed),
            callback_on_step_end=follow,
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


def _base_steps(scheduler: Any, high_noise_frac: float) -> int:
    """How many timesteps diffusers' base takes: those down to its cutoff (`denoising_end`)."""
    if high_noise_frac == 1:
        return len(scheduler.timesteps)
    trained = scheduler.config.num_train_timesteps
    return int((scheduler.timesteps >= round(trained - high_noise_frac * trained)).sum())


def _refiner_steps(pipe: Any, stage: Stage, device: str) -> int:
    strength, start = (stage.arguments.get(name) for name in ("strength", "denoising_start"))
    return len(pipe.get_timesteps(stage.steps, strength, device, denoising_start=start)[0])


def _check_left_out(job: Job, stage: Stage, finished: bool) -> None:
    """A refiner without a step is harmless only where the base has `finished` all of its own
    and hands the picture on. Raises BadInput."""
    assert job.refiner is not None
    strength = job.refiner.strength
    if strength is not None:
        raise BadInput(
            f"refiner.strength {strength:g} of {stage.steps} steps is not one step",
            hint="raise refiner.strength or refiner.steps: their product is at least 1",
        )
    if not finished:
        raise BadInput(
            f"none of the refiner's {stage.steps} steps lies behind high_noise_frac "
            f"{job.high_noise_frac:g}, so the base's noise would stay",
            hint="raise refiner.steps or lower high_noise_frac",
        )


def _check_finite(tensor: torch.Tensor, place: str) -> None:
    if not torch.isfinite(tensor).all():
        raise SuspectPicture(
            f"there are NaN in {place}", hint="fp16 may overflow: try dtype: fp32 or another VAE"
        )


def _picture(pixels: torch.Tensor) -> Image.Image:
    """As the pipelines themselves make one, but NaN is found before it is cast to black."""
    _check_finite(pixels, "the decoded picture")
    pixels = VaeImageProcessor.pt_to_numpy(pixels)
    image: Image.Image = VaeImageProcessor.numpy_to_pil(pixels)[0]
    if image.getbbox() is None:
        raise SuspectPicture("the picture is black", hint="try dtype: fp32 or another VAE")
    return image


def _cuda_numerics() -> dict[str, JsonValue]:
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
