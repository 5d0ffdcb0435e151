"""What a job is made with, named alike by who fails to have it and by who has it.

What one cell cannot have, no cell can that needs it too: an error says which it is (`needs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.assets import Part
from common.errors import GridfarmError
from common.job import Job


def model_need(ref: str, part: Part, dtype: str, base: str = "") -> str:
    """A model as it is loaded; a refiner is loaded for its `base`, and may fit no other."""
    return f"{part} {ref} {dtype}" + (f" for {base}" if base else "")


def lora_need(sha256: str) -> str:
    return f"lora {sha256}"


def needs_of(job: Job) -> list[str]:
    """All that a job is made with."""
    needs = [model_need(job.model, "base", job.dtype), *(lora_need(x.sha256) for x in job.loras)]
    if job.vae:
        needs.append(model_need(job.vae, "vae", job.dtype))
    if job.refiner:
        ref = job.refiner.model
        needs.append(model_need(ref, "refiner", job.dtype))
        needs.append(model_need(ref, "refiner", job.dtype, job.model))
    return needs


@contextmanager
def needing(need: str) -> Iterator[None]:
    """Expected errors raised inside say that it is this that cannot be had or loaded."""
    try:
        yield
    except GridfarmError as error:
        error.needs = error.needs or need
        raise
