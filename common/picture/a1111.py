"""The line that AUTOMATIC1111's web UI writes into its pictures, for the readers that know it.

It is the PNG's text `parameters`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from unicodedata import category

from common.job import SCHEDULER_NAMES, Job, ModelRef, SchedulerUse, parse_scheduler


def parameters_text(job: Job) -> str:
    """The Job as AUTOMATIC1111's web UI writes it: the prompts, then one line of settings.

    Readers split that line at "," and ":", so no value has either, but for the flat JSON of
    `Hashes`. They also look for "Negative prompt:" and for a line that begins with "Steps:",
    so a prompt has no line breaks here and not the first of these.
    """
    lines = [_prompt(job.prompt)]
    if job.negative_prompt:
        lines.append(f"Negative prompt: {_prompt(job.negative_prompt)}")
    settings = ", ".join(f"{name}: {_value(value)}" for name, value in _settings(job).items())
    hashes = _hashes(job)
    return "\n".join([*lines, settings + (f", Hashes: {json.dumps(hashes)}" if hashes else "")])


def _settings(job: Job) -> dict[str, str]:
    settings = {
        "Steps": f"{job.steps}",
        "Sampler": _sampler(job.scheduler) if job.scheduler else "default",
        "CFG scale": f"{job.guidance_scale:g}",
        "Seed": f"{job.seed}",
        "Size": f"{job.width}x{job.height}",
        "Model": _model_name(job.model),
    }
    if job.vae:
        settings["VAE"] = _model_name(job.vae)
    if job.refiner:
        settings["Refiner"] = _model_name(job.refiner.model)
        settings["Refiner switch at"] = f"{job.high_noise_frac:g}"
    return settings | {"Version": "gridfarm"}


def _hashes(job: Job) -> dict[str, str]:
    """Files by the first ten digits of their SHA-256, as the web UI and its sites know them."""
    hashes = {f"lora:{use.sha256[:10]}": use.sha256[:10] for use in job.loras}
    if job.model.kind == "file":
        hashes["model"] = _model_name(job.model)
    return hashes


def _sampler(use: SchedulerUse) -> str:
    return _sampler_names().get(_identity(use), use.type)


@cache
def _sampler_names() -> dict[Hashable, str]:
    parsed = {name: parse_scheduler(name) for name in reversed(SCHEDULER_NAMES)}
    return {_identity(use): name for name, use in parsed.items() if use}


def _identity(use: SchedulerUse) -> Hashable:
    return use.type, frozenset(use.options.items())


def _model_name(ref: ModelRef) -> str:
    """`owner/name@commit` → `name`; `file:<sha256>` → its first ten digits."""
    return ref.sha256[:10] or ref.short_name.rpartition("/")[2]


def _prompt(text: str) -> str:
    """White space as single spaces, which to CLIP's tokenizers is the same; no control
    characters, which a PNG's text may not hold."""
    words = "".join(char for char in " ".join(text.split()) if category(char) != "Cc")
    return words.replace("Negative prompt:", "Negative prompt")


def _value(text: str) -> str:
    return text.replace(",", " ").replace(":", " ")
