"""The models that a batch file can name in one word, each pinned to one revision."""

from __future__ import annotations

import re
from pathlib import Path

from common.job.job import MODEL_REF, TINY_BASE, TINY_REFINER

SDXL = "sdxl"
SDXL_REFINER = "sdxl-refiner"
FP16_FIX = "fp16-fix"
TINY = "tiny"
TINY_REFINER_NAME = "tiny-refiner"

#: Written for `vae`: the one that comes with the model. It names no model, so it has no pin.
OWN_VAE = "own"

BUILTIN_MODELS: dict[str, str] = {
    SDXL: "stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",
    SDXL_REFINER: (
        "stabilityai/stable-diffusion-xl-refiner-1.0@5d4cfe854c9a9a87939ff3653551c2b3c99a4356"
    ),
    FP16_FIX: "madebyollin/sdxl-vae-fp16-fix@207b116dae70ace3637169f1ddd2434b91b3a8cd",
    TINY: TINY_BASE,
    TINY_REFINER_NAME: TINY_REFINER,
}

#: The weights that come with gridfarm, with a model card.
TINY_FOLDER = Path(__file__).parents[1] / "data" / "tiny"

#: LoRAs for the tiny model that a batch file can name in one word.
TINY_LORAS: dict[str, Path] = {
    f"tiny-{name}": TINY_FOLDER / f"{name}.safetensors" for name in ("glorp", "pastel", "wrong")
}

_PINNED = re.compile(MODEL_REF)
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?$", re.ASCII)


def pinned(written: str) -> str | None:
    """The pinned reference of a model as written, or None where it has yet to be resolved.

    One word of ours, or a hub id with its full commit (`owner/name@<40 hex digits>`).
    """
    if written in BUILTIN_MODELS:
        return BUILTIN_MODELS[written]
    return written if is_hub_id(written) and _PINNED.match(written) else None


def is_hub_id(written: str) -> bool:
    """Whether it has the form `owner/name` or `owner/name@revision` of a hub id."""
    return bool(_HUB_ID.match(written))
