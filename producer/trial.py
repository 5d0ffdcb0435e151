"""`--model`: the same batch on another model; with `tiny` a trial that needs no GPU."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from common.batch import Axis, Batch, RangeAxis
from common.gpus import visible_gpus
from common.models import BUILTIN_MODELS, TINY, pinned
from common.spec import BatchFile

Settings = dict[str, JsonValue]
Say = Callable[[str], None]


def with_model(file: BatchFile, model: str, say: Say) -> BatchFile:
    """Render `file` with `model` in every cell. Each thing that changes is said aloud."""
    if model == TINY:
        return _with_tiny(file, say)
    if Path(model).expanduser().exists():
        # On the command line a path is relative to where the person is, not to the file.
        model = str(Path(model).expanduser().absolute())
    if any("model" in axis.setting_names() for axis in file.batch.axes):
        say(f"--model {model} replaces the values of the model axis")
    batch = _map_settings(file.batch, lambda s: s | {"model": model} if "model" in s else s)
    models = batch.models | {model: pinned(model)}
    return replace(file, batch=batch.model_copy(update={"models": models}))


def _with_tiny(file: BatchFile, say: Say) -> BatchFile:
    on_gpu = bool(visible_gpus())
    batch = _map_settings(file.batch, lambda settings: _tiny_settings(settings, on_gpu))
    sources, hub_loras = _tiny_loras(file)
    _say_what_changed(file.batch, batch, hub_loras, say)
    models: dict[str, str | None] = dict(BUILTIN_MODELS)
    return replace(
        file,
        batch=batch.model_copy(update={"models": models}),
        lora_sources=sources,
        notes=tuple(note for note in file.notes if "noise" not in note),
    )


def _tiny_settings(settings: Settings, on_gpu: bool) -> Settings:
    changed = dict(settings)
    if "model" in changed:
        changed["model"] = TINY
    if isinstance(changed.get("refiner"), dict):
        refiner = {k: v for k, v in changed["refiner"].items() if k != "model"}  # type: ignore[union-attr]
        changed["refiner"] = refiner
    if changed.get("noise") == "cuda" and not on_gpu:
        changed["noise"] = "cpu"
    # Both depend on the model: the tiny one has its own VAE and is made for fp32.
    changed.pop("vae", None)
    changed.pop("dtype", None)
    return changed


def _tiny_loras(file: BatchFile) -> tuple[dict[str, str], list[str]]:
    """LoRAs that are not local files become the tiny one."""
    tiny = str(tiny_lora_path())
    hub = [n for n, written in file.lora_sources.items() if not _local(file.base_dir, written)]
    return file.lora_sources | dict.fromkeys(hub, tiny), hub


def tiny_lora_path() -> Path:
    """The LoRA that comes with gridfarm for its tiny model."""
    return Path(str(importlib.resources.files("common") / "data" / "tiny-wrong.safetensors"))


def _local(base_dir: Path, written: str) -> bool:
    return (base_dir / Path(written).expanduser()).exists()


def _say_what_changed(before: Batch, after: Batch, hub_loras: list[str], say: Say) -> None:
    say("--model tiny: the tiny SDXL instead of the file's model and refiner, random test weights")
    if hub_loras:
        say(f"--model tiny: the tiny LoRA instead of {', '.join(hub_loras)}")
    if any(_uses(before, "noise", "cuda")) and not any(_uses(after, "noise", "cuda")):
        say("--model tiny: noise from the CPU instead of cuda, since this machine has no GPU")
    for name in ("vae", "dtype"):
        if any(_uses(before, name)):
            say(f"--model tiny: the tiny model's own {name} instead of the file's")


def _uses(batch: Batch, name: str, value: JsonValue = None) -> list[bool]:
    layers = [batch.settings, *(v.settings for a in _listed(batch) for v in a.values)]
    return [name in layer and value in (None, layer[name]) for layer in layers]


def _listed(batch: Batch) -> list[Axis]:
    return [axis for axis in batch.axes if isinstance(axis, Axis)]


def _map_settings(batch: Batch, change: Callable[[Settings], Settings]) -> Batch:
    axes: list[Axis | RangeAxis] = []
    for axis in batch.axes:
        if isinstance(axis, Axis):
            values = tuple(
                v.model_copy(update={"settings": change(v.settings)}) for v in axis.values
            )
            axis = axis.model_copy(update={"values": values})
        axes.append(axis)
    return batch.model_copy(update={"settings": change(batch.settings), "axes": tuple(axes)})
