"""A model in one file, in the layout of Stability's own code, as people publish them.

Such a file has weights alone. Settings and tokenizers are those of SDXL itself, at the commit
that `common.job` pins; without being told, diffusers would take the hub's latest, and for a
VAE those of SD 1.5.
"""

from __future__ import annotations

from pathlib import Path

from common.assets import Part, check_checkpoint_file
from common.errors import BadInput, InputFileError
from common.job import BUILTIN_MODELS, SDXL, SDXL_REFINER, ModelRef


def configs_of(part: Part) -> ModelRef:
    """The repository with the settings for a checkpoint that serves as `part`."""
    return BUILTIN_MODELS[SDXL_REFINER if part == "refiner" else SDXL]


def check_checkpoint(path: Path, ref: ModelRef, part: Part) -> None:
    """Refuse what is no safetensors file, and as a base what is no SDXL. Raises BadInput."""
    try:
        check_checkpoint_file(path, part, name=f"the model {ref}")
    except InputFileError as error:
        raise BadInput(error.message, hint=error.hint) from error
