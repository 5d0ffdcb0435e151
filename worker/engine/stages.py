"""What each of SDXL's two stages is told: the job's settings, or the refiner's own.

The rules are diffusers': an empty second prompt is the first one (`prompt_2 or prompt`), a
second negative prompt counts only beside a first one where SDXL has zeros for none, a guidance
of 1 or less takes no negative prompt, and sizes are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.job import Job, Size


@dataclass(frozen=True)
class Stage:
    """One call of a pipeline. `prompts` and `negative_prompts` have a text for each encoder of
    it; a negative one of None is none. `arguments` are what else the pipeline is called with."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str | None, ...]
    steps: int
    guidance_scale: float
    arguments: dict[str, Any]

    @property
    def guided(self) -> bool:
        return self.guidance_scale > 1

    def negatives(self, *, zeros_for_none: bool) -> tuple[str, ...] | None:
        """The negative prompts to encode; None leaves it to the pipeline, which has zeros or
        (not `zeros_for_none`) an encoded "" for it."""
        first, *others = self.negative_prompts
        if not self.guided or (first is None and (zeros_for_none or not any(others))):
            return None
        return (first or "", *[other or first or "" for other in others])


def base_stage(job: Job) -> Stage:
    """The base reads both prompts; it stops early, or leaves latents, if a refiner follows."""
    arguments = {"width": job.width, "height": job.height, **_sizes(job)}
    arguments["output_type"] = "latent" if job.refiner else "pt"
    if job.high_noise_frac < 1:
        arguments["denoising_end"] = job.high_noise_frac
    return Stage(
        prompts=(job.prompt, job.prompt_2 or job.prompt),
        negative_prompts=(job.negative_prompt, job.negative_prompt_2),
        steps=job.steps,
        guidance_scale=job.guidance_scale,
        arguments=arguments,
    )


def refiner_stage(job: Job) -> Stage:
    """The refiner has the second encoder alone, and diffusers gives it the first prompt."""
    own = job.refiner
    assert own is not None
    negative = own.negative_prompt.text if own.negative_prompt else job.negative_prompt
    return Stage(
        prompts=(job.prompt if own.prompt is None else own.prompt,),
        negative_prompts=(negative,),
        steps=own.steps or job.steps,
        guidance_scale=job.guidance_scale if own.guidance_scale is None else own.guidance_scale,
        arguments={
            **_sizes(job),
            **_beginning(job),
            "output_type": "pt",
            "aesthetic_score": own.aesthetic_score,
            "negative_aesthetic_score": own.negative_aesthetic_score,
        },
    )


def _beginning(job: Job) -> dict[str, float]:
    """Where the base stopped, or its finished latents made noisy again."""
    if job.refiner and job.refiner.strength is not None:
        return {"strength": job.refiner.strength}
    return {"denoising_start": job.high_noise_frac}


def _sizes(job: Job) -> dict[str, tuple[int, int]]:
    """SDXL's size conditioning; what is not given is the picture's own."""
    sizes = {"original_size": job.original_size, "target_size": job.target_size}
    given = {name: _height_width(size) for name, size in sizes.items() if size}
    return given | {"crops_coords_top_left": (job.crop.top, job.crop.left)}


def _height_width(size: Size) -> tuple[int, int]:
    return size.height, size.width
