"""The Job: what decides the pixels of one picture, as it travels and as it is named.

In reading order: `job` (the Job and its key), `model_ref` (which weights exactly),
`builtin_models` (those that a batch file names in one word), `schedulers` (the names that people
know, as diffusers' classes), `prompt_syntax` (weights, blends, and what other programs write).
"""

from __future__ import annotations

from common.job import builtin_models
from common.job.builtin_models import (
    BUILTIN_MODELS,
    SDXL,
    SDXL_REFINER,
    TINY,
    TINY_BASE,
    TINY_FOLDER,
    TINY_LORAS,
    TINY_REFINER,
)
from common.job.job import (
    RENDERER_EPOCH,
    Crop,
    DType,
    Job,
    LongPrompts,
    LoraUse,
    NegativePrompt,
    Noise,
    RefinerUse,
    SchedulerUse,
    Size,
)
from common.job.model_ref import HubName, ModelRef, is_hub_id
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
    "DType",
    "HubName",
    "Job",
    "LongPrompts",
    "LoraUse",
    "ModelRef",
    "NegativePrompt",
    "Noise",
    "RefinerUse",
    "SchedulerUse",
    "Size",
    "builtin_models",
    "check_prompt",
    "is_hub_id",
    "parse_scheduler",
    "warnings",
]
