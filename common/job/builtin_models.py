"""The models that a batch file can name in one word, each pinned to one revision."""

from __future__ import annotations

from pathlib import Path

from common.job.model_ref import ModelRef

#: The tiny SDXL's revision: raised with any change of its weights.
TINY_BASE = ModelRef("tiny@3")
TINY_REFINER = ModelRef("tiny-refiner@3")

#: How a batch file names them.
SDXL = "sdxl"
SDXL_REFINER = "sdxl-refiner"
FP16_FIX = "fp16-fix"
TINY = "tiny"
TINY_REFINER_NAME = "tiny-refiner"

#: Written for `vae`: the one that comes with the model. It names no model, so it has no pin.
OWN_VAE = "own"

BUILTIN_MODELS: dict[str, ModelRef] = {
    SDXL: ModelRef(
        "stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b"
    ),
    SDXL_REFINER: ModelRef(
        "stabilityai/stable-diffusion-xl-refiner-1.0@5d4cfe854c9a9a87939ff3653551c2b3c99a4356"
    ),
    FP16_FIX: ModelRef("madebyollin/sdxl-vae-fp16-fix@207b116dae70ace3637169f1ddd2434b91b3a8cd"),
    TINY: TINY_BASE,
    TINY_REFINER_NAME: TINY_REFINER,
}

#: The weights that come with gridfarm, with a model card.
TINY_FOLDER = Path(__file__).parents[1] / "data" / "tiny"

#: LoRAs for the tiny model that a batch file can name in one word.
TINY_LORAS: dict[str, Path] = {
    f"tiny-{name}": TINY_FOLDER / f"{name}.safetensors" for name in ("glorp", "pastel", "wrong")
}


def pinned(written: str) -> ModelRef | None:
    """The pinned reference of a model as written, or None where it has yet to be resolved.

    One word of ours, or a hub id with its full commit (`owner/name@<40 hex digits>`).
    """
    if written in BUILTIN_MODELS:
        return BUILTIN_MODELS[written]
    try:
        ref = ModelRef(written)
    except ValueError:
        return None
    return ref if ref.kind == "hub" else None
