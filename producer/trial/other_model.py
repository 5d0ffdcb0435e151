"""`--model`: the same batch on another model; with `tiny` a trial that needs no GPU."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from common.batch import AnyAxis, Axis, Batch
from common.errors import UsageError
from common.gpus import visible_gpus
from common.job import TINY, TINY_LORAS
from producer.language import BatchFile, Mistake, problem_of, with_references
from producer.language.settings import SETTINGS, SIZES, Scope
from producer.language.yaml import plain

Settings = dict[str, JsonValue]
Say = Callable[[str], None]

#: How much smaller the tiny model's pictures are, and what their sides are multiples of.
SMALLER, MULTIPLE = 8, 8

#: Pixels of the smallest picture that was meant for SDXL.
SMALLEST = 512 * 512

#: What stands in for the hub's LoRAs.
TINY_LORA = TINY_LORAS["tiny-wrong"]


def with_model(file: BatchFile, model: str, say: Say, cache_dir: Path) -> BatchFile:
    """Render `file` with `model` in every cell. Each thing that changes is said aloud."""
    if model == TINY:
        return _with_tiny(file, say, cache_dir)
    if Path(model).expanduser().exists():
        # On the command line a path is relative to where the person is, not to the file.
        model = str(Path(model).expanduser().absolute())
    _check(model)
    if any("model" in axis.setting_names() for axis in file.batch.axes):
        say(f"--model {model} replaces the values of the model axis")
    batch = _map_settings(file.batch, lambda s: s | {"model": model} if "model" in s else s)
    return replace(file, batch=with_references(batch))


def _check(model: str) -> None:
    """Raises UsageError."""
    try:
        SETTINGS["model"].read(plain(model), Scope())
    except Mistake as mistake:
        [finding] = mistake.findings
        problem = problem_of(finding)
        raise UsageError(f"--model {problem.message}", hint=problem.hint) from None


def _with_tiny(file: BatchFile, say: Say, cache_dir: Path) -> BatchFile:
    on_gpu, for_tiny = bool(visible_gpus()), _models(file.batch) == {TINY}
    batch = _map_settings(file.batch, lambda s: _tiny_settings(s, on_gpu, sizes=not for_tiny))
    sources, hub_loras = _tiny_loras(file, cache_dir)
    _say_what_changed(file.batch, batch, hub_loras, say)
    return replace(
        file,
        batch=with_references(batch),
        lora_sources=sources,
        notes=tuple(note for note in file.notes if "noise" not in note),
    )


def _models(batch: Batch) -> set[JsonValue]:
    return {layer["model"] for layer in batch.layers() if "model" in layer}


def _tiny_settings(settings: Settings, on_gpu: bool, *, sizes: bool) -> Settings:
    """Without `sizes` those stay: they were meant for this model."""
    changed = dict(settings)
    if "model" in changed:
        changed["model"] = TINY
    changed.pop("refiner.model", None)
    if changed.get("noise") == "cuda" and not on_gpu:
        changed["noise"] = "cpu"
    # Both depend on the model: the tiny one has its own VAE and is made for fp32.
    changed.pop("vae", None)
    changed.pop("dtype", None)
    smaller = [name for name in SIZES if sizes and changed.get(name)]
    return changed | {name: _eighth(name, changed[name]) for name in smaller}


def _eighth(name: str, value: JsonValue) -> JsonValue:
    """The tiny model has learnt pictures of an eighth of SDXL's side. A size for a trial, which
    is small already, stays."""
    if isinstance(value, dict):
        return {side: int(str(pixels)) // SMALLER for side, pixels in value.items()}
    width, height = map(int, str(value).split("x"))
    if name == "size" and width * height < SMALLEST:
        return value
    return "x".join(
        str(max(1, round(side / SMALLER / MULTIPLE)) * MULTIPLE) for side in (width, height)
    )


def _tiny_loras(file: BatchFile, cache_dir: Path) -> tuple[dict[str, str], list[str]]:
    """LoRAs that are not local files become the tiny one, each a file of its own: a cell may
    use several, and one file twice is refused."""
    hub = [n for n, source in file.lora_sources.items() if not _local(file.base_dir, source)]
    paths = (
        TINY_LORA if first else _named_copy(name, cache_dir)
        for first, name in zip([True, *[False] * len(hub)], hub, strict=False)
    )
    return file.lora_sources | dict(zip(hub, map(str, paths), strict=True)), hub


def _named_copy(name: str, cache_dir: Path) -> Path:
    """The tiny LoRA with `name` in its metadata: equal weights, another hash.

    Format: https://huggingface.co/docs/safetensors (8 bytes of length, JSON header, tensors).
    """
    data = TINY_LORA.read_bytes()
    behind = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:behind])
    header["__metadata__"] = header.get("__metadata__", {}) | {"stands_for": name}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path = cache_dir / "tiny-loras" / f"{hashlib.sha256(name.encode()).hexdigest()}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data[behind:])
    return path


def _local(base_dir: Path, source: str) -> bool:
    return source in TINY_LORAS or (base_dir / Path(source).expanduser()).exists()


def _say_what_changed(before: Batch, after: Batch, hub_loras: list[str], say: Say) -> None:
    say("--model tiny: the tiny SDXL, which draws shapes, instead of its model and refiner")
    if hub_loras:
        say(f"--model tiny: the tiny LoRA instead of {', '.join(hub_loras)}")
    if any(_written(before, name) != _written(after, name) for name in SIZES):
        say("--model tiny: sizes are an eighth of the file's, since it draws 128x128")
    if any(_uses(before, "noise", "cuda")) and not any(_uses(after, "noise", "cuda")):
        say("--model tiny: noise from the CPU instead of cuda, since this machine has no GPU")
    for name in ("vae", "dtype"):
        if any(_uses(before, name)):
            say(f"--model tiny: the tiny model's own {name} instead of the file's")


def _uses(batch: Batch, name: str, value: JsonValue = None) -> list[bool]:
    written = batch.layers()
    return [name in layer and value in (None, layer[name]) for layer in written]


def _written(batch: Batch, name: str) -> list[JsonValue]:
    return [layer.get(name) for layer in batch.layers()]


def _map_settings(batch: Batch, change: Callable[[Settings], Settings]) -> Batch:
    axes: list[AnyAxis] = []
    for axis in batch.axes:
        if isinstance(axis, Axis):
            values = tuple(
                v.model_copy(update={"settings": change(v.settings)}) for v in axis.values
            )
            axis = axis.model_copy(update={"values": values})
        axes.append(axis)
    return batch.model_copy(update={"settings": change(batch.settings), "axes": tuple(axes)})
