"""TODO."""

from __future__ import annotations

from common.job import builtin_models
from common.job.builtin_models import (
    BUILTIN_MODELS,
    SDXL,
    SDXL_REFINER,
    TINY,
    TINY_FOLDER,
    TINY_LORAS,
)
from common.job.job import (
    RENDERER_EPOCH,
    TINY_BASE,
    TINY_REFINER,
    Crop,
    Job,
    LoraUse,
    NegativePrompt,
    RefinerUse,
    SchedulerUse,
    Size,
)
from common.job.prompt_syntax import BLENDED, MAX_LENGTH, MAX_NESTING, check_prompt, warnings
from common.job.schedulers import (
    SCHEDULER_NAMES,
    SCHEDULER_SCHEMA,
    SCHEDULER_TYPES,
    parse_scheduler,
)

__all__ = [
    "BLENDED",
    "BUILTIN_MODELS",
    "MAX_LENGTH",
    "MAX_NESTING",
    "RENDERER_EPOCH",
    "SCHEDULER_NAMES",
    "SCHEDULER_SCHEMA",
    "SCHEDULER_TYPES",
    "SDXL",
    "SDXL_REFINER",
    "TINY",
    "TINY_BASE",
    "TINY_FOLDER",
    "TINY_LORAS",
    "TINY_REFINER",
    "Crop",
    "Job",
    "LoraUse",
    "NegativePrompt",
    "RefinerUse",
    "SchedulerUse",
    "Size",
    "builtin_models",
    "check_prompt",
    "parse_scheduler",
    "warnings",
]
