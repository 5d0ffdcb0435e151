"""What a batch's cells refer to: every model, VAE, refiner and LoRA that some cell can use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from common.batch import LORA, Axis, Batch, RangeAxis
from common.job import builtin_models

Layer = Mapping[str, JsonValue]


def layers(settings: Layer, axes: Iterable[Axis | RangeAxis]) -> Iterator[Layer]:
    """Everything that sets something: the settings, and each value of each axis (the first one
    stands for all of a range)."""
    yield settings
    for axis in axes:
        values = axis.values if isinstance(axis, Axis) else (axis.value(0),)
        yield from (value.settings for value in values)


def with_references(batch: Batch) -> Batch:
    """`batch` with `models` and `loras` made anew from its settings; pins that it has stay."""
    written = list(layers(batch.settings, batch.axes))
    pins = {
        name: batch.models.get(name) or builtin_models.pinned(name)
        for name in referenced_models(written)
    }
    loras = {name: batch.loras.get(name) for name in referenced_loras(written)}
    return batch.model_copy(update={"models": pins, "loras": loras})


def referenced_models(written: Iterable[Layer]) -> list[str]:
    """Models as they are written, those of defaults included."""
    listed = list(written)
    bases = dict.fromkeys(str(layer["model"]) for layer in listed if "model" in layer)
    names = [*bases]
    if builtin_models.TINY in bases:
        names.append(builtin_models.TINY_REFINER_NAME)
    if bases.keys() != {builtin_models.TINY}:
        names += [builtin_models.SDXL_REFINER, builtin_models.FP16_FIX]
    for layer in listed:
        others = (layer.get("vae"), layer.get("refiner.model"))
        names += [str(other) for other in others if other not in (None, builtin_models.OWN_VAE)]
    return [*dict.fromkeys(names)]


def referenced_loras(written: Iterable[Layer]) -> list[str]:
    """The names of LoRAs that are switched on somewhere."""
    names: list[str] = []
    for layer in written:
        whole = layer.get("loras")
        names += whole if isinstance(whole, dict) else ()
        names += [name.removeprefix(LORA) for name in layer if name.startswith(LORA)]
    return [*dict.fromkeys(names)]
