"""LoRAs of one base pipeline: checked, loaded once, switched on and off, never fused.

Fusing rounds the weights and cannot be undone bit for bit; switching can. So a cell without
LoRAs is the picture of a pipeline that never loaded any.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diffusers.utils.peft_utils import set_adapter_layers, set_weights_and_activate_adapters

from common.assets import TensorEntry, check_lora_file, read_header
from common.errors import BadInput, InputFileError
from common.job import LoraUse
from worker.engine.errors import MACHINE_TROUBLE

#: LoRAs kept loaded; then the one that was used longest ago goes.
KEPT = 8

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")

#: What is on in a component: (SHA-256, scale) of each LoRA, in the order of application.
Active = tuple[tuple[str, float], ...]


class Loras:
    """The LoRAs of `pipe`, a StableDiffusionXLPipeline; `find` gives the file of one by its
    SHA-256. Not safe for several threads."""

    def __init__(self, pipe: Any, find: Callable[[str], Path]) -> None:
        self._pipe = pipe
        self._find = find
        self._loaded: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._active: dict[str, Active | None] = dict.fromkeys(COMPONENTS, ())

    def use(self, loras: Sequence[LoraUse]) -> None:
        """Switch these on, in the order of their hashes, and all others off.

        Raises BadInput for a file that is no LoRA or does not fit this model, and what `find`
        raises; then the pipeline is as if it had never been loaded.
        """
        ordered = sorted(loras, key=lambda lora: lora.sha256)
        for lora in ordered:
            self._load(lora.sha256)
        self._drop_all_but({lora.sha256 for lora in ordered})
        for component in COMPONENTS:
            self._switch(component, tuple(self._scales(component, ordered)))

    def text_encoders_off(self) -> None:
        """For the refiner, which shares the second encoder and takes no LoRA."""
        self._switch("text_encoder", ())
        self._switch("text_encoder_2", ())

    def active(self, component: str) -> Active:
        """What is on in a component; where it is equal, a prompt is encoded equally."""
        return self._active[component] or ()

    def _scales(self, component: str, loras: Sequence[LoraUse]) -> Iterator[tuple[str, float]]:
        for lora in loras:
            scale = lora.unet if component == "unet" else lora.text_encoder
            if scale and component in self._loaded[lora.sha256]:
                yield lora.sha256, scale

    def _switch(self, component: str, active: Active) -> None:
        if self._active[component] == active:
            return
        model = getattr(self._pipe, component)
        if active:
            names, scales = zip(*active, strict=True)
            set_weights_and_activate_adapters(model, list(names), list(scales))
        set_adapter_layers(model, enabled=bool(active))
        _require_grad(model, not active)
        self._active[component] = active

    def _load(self, sha256: str) -> None:
        if sha256 in self._loaded:
            self._loaded.move_to_end(sha256)
            return
        path = self._find(sha256)
        name = f"LoRA {sha256[:12]}"
        try:
            check_lora_file(path, name=name)
        except InputFileError as error:
            raise BadInput(error.message, hint=error.hint) from error
        try:
            self._load_file(str(path), sha256)
            self._loaded[sha256] = self._components(sha256, name, read_header(path))
        except Exception as error:
            self._remove(sha256)
            raise _reason(name, error) from error

    def _load_file(self, path: str, sha256: str) -> None:
        self._active = dict.fromkeys(COMPONENTS)
        with warnings.catch_warnings(action="ignore"):
            self._pipe.load_lora_weights(path, adapter_name=sha256, use_safetensors=True)

    def _components(self, sha256: str, name: str, entries: list[TensorEntry]) -> frozenset[str]:
        """The components that took a part of it. Raises BadInput unless all found a place:
        diffusers drops the rest silently."""
        layers_of = {component: list(self._layers(component, sha256)) for component in COMPONENTS}
        layers = {layer for names in layers_of.values() for layer in names}
        weights = [entry.name for entry in entries if not entry.name.endswith(".alpha")]
        if sum(map(len, layers_of.values())) != len(weights):
            placeless = [weight for weight in weights if not _belongs(weight, layers)]
            example = f", such as {placeless[0]}" if placeless and layers else ""
            raise BadInput(
                f"{name}: {len(placeless) or 'some'} of its {len(weights)} weights have no place "
                f"in this model{example}",
                hint="it was made for another model, or is of a kind that is not supported",
            )
        return frozenset(component for component, names in layers_of.items() if names)

    def _layers(self, component: str, sha256: str) -> Iterator[str]:
        """For each weight of the LoRA in a component the name of the layer it is in."""
        for parameter, _ in getattr(self._pipe, component).named_parameters():
            if f".{sha256}." in parameter:
                yield parameter.partition(".lora_")[0]

    def _drop_all_but(self, needed: set[str]) -> None:
        for sha256 in list(self._loaded)[:-KEPT]:
            if sha256 not in needed:
                self._remove(sha256)

    def _remove(self, sha256: str) -> None:
        self._active = dict.fromkeys(COMPONENTS)
        self._loaded.pop(sha256, None)
        with warnings.catch_warnings(action="ignore"):
            self._pipe.delete_adapters(sha256)


def _require_grad(model: Any, required: bool) -> None:
    """Mark the model's own weights as a pipeline without (or with) LoRAs has them.

    peft freezes a model for good when it loads a LoRA, and torch multiplies by a frozen matrix
    in another order: without this, a cell's last bits would tell what was loaded before.
    """
    for name, weight in model.named_parameters():
        if ".lora_" not in name:
            weight.requires_grad_(required)


def _belongs(weight: str, layers: set[str]) -> bool:
    """Kohya's names have underscores where diffusers' have dots."""
    flat = weight.replace(".", "_")
    return any(f"_{layer.replace('.', '_')}_" in flat for layer in layers)


def _reason(name: str, error: Exception) -> Exception:
    if isinstance(error, (*MACHINE_TROUBLE, BadInput)):
        return error
    elsewhere = "it was made for another model (SD 1.5, another SDXL part) or is damaged"
    if isinstance(error, RuntimeError):
        return BadInput(f"{name}: has weights of another shape{_example(error)}", hint=elsewhere)
    if isinstance(error, LookupError) or "not found in the base model" in str(error):
        return BadInput(f"{name}: matches no layer of this model, or lacks a half", hint=elsewhere)
    return BadInput(f"{name}: cannot be loaded into this model: {_brief(error)}", hint=elsewhere)


def _example(error: Exception) -> str:
    sizes = r"mismatch for (\S+)\.lora_.*?Size\((.+?)\).*?Size\((.+?)\)"
    match = re.search(sizes, str(error), re.DOTALL)
    return f" than this model's: {match[1]} has {match[2]}, not {match[3]}" if match else ""


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
