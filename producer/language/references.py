"""What a batch refers to: every model, VAE, refiner and LoRA that some cell can use."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from common.batch import LORA, Batch, Layer
from common.job import builtin_models


def models_named(layers: Collection[Layer]) -> list[str]:
    """Models as they are written, those of defaults included."""
    bases = dict.fromkeys(str(layer["model"]) for layer in layers if "model" in layer)
    names = [*bases]
    if builtin_models.TINY in bases:
        names.append(builtin_models.TINY_REFINER_NAME)
    if bases.keys() != {builtin_models.TINY}:
        names += [builtin_models.SDXL_REFINER, builtin_models.FP16_FIX]
    for layer in layers:
        others = (layer.get("vae"), layer.get("refiner.model"))
        names += [str(other) for other in others if other not in (None, builtin_models.OWN_VAE)]
    return [*dict.fromkeys(names)]


def loras_named(layers: Iterable[Layer]) -> list[str]:
    """The names of LoRAs that are switched on somewhere."""
    names: list[str] = []
    for layer in layers:
        whole = layer.get("loras")
        names += whole if isinstance(whole, dict) else ()
        names += [name.removeprefix(LORA) for name in layer if name.startswith(LORA)]
    return [*dict.fromkeys(names)]


def with_references(batch: Batch) -> Batch:
    """`batch` with `models` and `loras` made anew from its settings; pins that it has stay."""
    layers = list(batch.layers())
    pins = {
        name: batch.models.get(name) or builtin_models.pinned(name) for name in models_named(layers)
    }
    loras = {name: batch.loras.get(name) for name in loras_named(layers)}
    return batch.model_copy(update={"models": pins, "loras": loras})
