"""A model in one file, in the layout of Stability's own code: what tells that it is an SDXL."""

from __future__ import annotations

from pathlib import Path

from common.assets.model_files import Part
from common.assets.safetensors import read_header
from common.errors import InputFileError

#: A weight that every SDXL base has in this layout, and no other model.
SECOND_ENCODER = "conditioner.embedders.1.model.positional_embedding"

#: A weight that only Playground's descendants of SDXL have, whose settings are others.
EDM = "edm_mean"


def check_checkpoint_file(path: Path, part: Part, *, name: str = "") -> None:
    """Refuse what is no whole safetensors file, and as a base what is no SDXL. Reads the header
    alone; `name` is how messages call the file, its path by default. Raises InputFileError."""
    name = name or str(path)
    names = {entry.name for entry in read_header(path, name=name)}
    if part != "base":
        return
    if EDM in names:
        raise InputFileError(
            f"{name} is a Playground checkpoint, whose settings are not in the file",
            hint="name its repository on the hub, or a folder in diffusers' layout",
        )
    if SECOND_ENCODER not in names:
        raise InputFileError(
            f"{name} is no SDXL: it has no {SECOND_ENCODER}",
            hint="SD 1.5 and 2.x are not SDXL; a file with a UNet alone lacks the text encoders",
        )
