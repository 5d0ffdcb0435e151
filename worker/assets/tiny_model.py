"""The tiny SDXL that comes with gridfarm: real diffusers classes that have learnt to draw shapes.

It takes every road that SDXL takes (two text encoders, pooled and size conditioning, an
ensemble of experts, a VAE of factor 8, LoRAs), so demo and tests run the real pipelines on a
CPU and show what a prompt does. `common.job.TINY_FOLDER` holds the weights, of each file
once; its README.md is the model card. `worker.tiny` is how it was made, and what it has seen.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from common.errors import UsageError
from common.job import TINY_BASE, TINY_FOLDER
from common.store import prepared

#: What the refiner has from the base, as SDXL's has.
SHARED = ("vae", "text_encoder_2", "tokenizer_2")


def cached(cache_dir: Path) -> Path:
    """The tiny SDXL's folder below `cache_dir`, written on first use.

    It appears whole or not at all; several processes may write at once, the first one wins.
    """
    folder = cache_dir / TINY_BASE
    if not folder.is_dir():
        with prepared(folder) as partial:
            build(partial)
    return folder


def build(folder: Path) -> None:
    """Write `base` and `refiner`, pipelines in the hub's layout, and the LoRAs into `folder`.

    Raises UsageError for one in which a training has left its checkpoints: its result would be
    lost, and the next `train` there would take the copy for its own.
    """
    if any(folder.glob("*.pt")):
        raise UsageError(
            f"{folder} holds a training", hint="give another folder, or --train to go on with it"
        )
    _copy(TINY_FOLDER, folder)
    for part in SHARED:
        _copy(TINY_FOLDER / "base" / part, folder / "refiner" / part)


def _copy(source: Path, target: Path) -> None:
    """Every file, but no permissions: the package may lie where nobody can write."""
    for file in source.rglob("*"):
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
