"""A model in one file, in the layout of Stability's own code, as people publish them.

Such a file has weights alone. Settings and tokenizers are those of SDXL itself, at the commit
that `common.job` pins; without being told, diffusers would take the hub's latest, and for a
VAE those of SD 1.5.
"""

from __future__ import annotations

from pathlib import Path

from common.assets import read_header
from common.errors import BadInput, InputFileError
from common.job import BUILTIN_MODELS, SDXL, SDXL_REFINER, ModelRef
from worker.assets.hub import Part

#: A weight that every SDXL base has in this layout, and no other model.
SECOND_ENCODER = "conditioner.embedders.1.model.positional_embedding"

#: A weight that only Playground's descendants of SDXL have, whose settings are others.
EDM = "edm_mean"


def configs_of(part: Part) -> ModelRef:
    """The repository with the settings for a checkpoint that serves as `part`."""
    return BUILTIN_MODELS[SDXL_REFINER if part == "refiner" else SDXL]


def check_checkpoint(path: Path, ref: ModelRef, part: Part) -> None:
    """Refuse what is no safetensors file, and as a base what is no SDXL. Raises BadInput."""
    try:
        names = {entry.name for entry in read_header(path, name="the checkpoint")}
    except InputFileError as error:
        raise BadInput(f"the model {ref}: {error.message}", hint=error.hint) from error
    if part != "base":
        return
    if EDM in names:
        raise BadInput(
            f"the model {ref} is a Playground checkpoint, whose settings are not in the file",
            hint="name its repository on the hub, or a folder in diffusers' layout",
        )
    if SECOND_ENCODER not in names:
        raise BadInput(
            f"the model {ref} is no SDXL: it has no {SECOND_ENCODER}",
            hint="SD 1.5 and 2.x are not SDXL; a file with a UNet alone lacks the text encoders",
        )
