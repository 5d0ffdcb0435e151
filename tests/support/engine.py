"""What the engine's tests share: small jobs, LoRAs in every layout, assets in a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save

from common.job import TINY_BASE, TINY_FOLDER, TINY_LORAS, TINY_REFINER, Job, LoraUse, RefinerUse
from common.store import Store, object_names
from worker.assets import Downloads
from worker.assets.downloads import Count

REFINED = {"refiner": RefinerUse(model=TINY_REFINER), "high_noise_frac": 0.8}

WRONG = TINY_LORAS["tiny-wrong"]
#: A layer of the tiny UNet that a LoRA may be for.
LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"

Tensors = dict[str, torch.Tensor]


def setting(part: str, name: str) -> Any:
    """A setting of a part of the tiny base, from its config.json."""
    return json.loads((TINY_FOLDER / "base" / part / "config.json").read_bytes())[name]


UNET_WIDTH = setting("unet", "block_out_channels")[-1]
#: Channels where the UNet attends, and of either text encoder.
TEXT_WIDTH = setting("text_encoder", "hidden_size")


class Told(Downloads):
    """Keeps what the heartbeat would read after each piece."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    @contextmanager
    def follow(self, name: str, total: int) -> Iterator[Count]:
        with super().follow(name, total) as count:

            def listen(size: int) -> None:
                count(size)
                self.told.append(str(self))

            yield listen


def job(**changes: Any) -> Job:
    """A small job of the tiny SDXL: 64 × 96 pixels, 4 steps."""
    settings = {
        "model": TINY_BASE,
        "dtype": "fp32",
        "prompt": "a wolf in the forest",
        "seed": 1,
        "width": 64,
        "height": 96,
        "steps": 4,
        "guidance_scale": 5.0,
    }
    return Job(**(settings | changes))


def use(sha256: str, unet: float = 1.0, text_encoder: float | None = None) -> LoraUse:
    both = unet if text_encoder is None else text_encoder
    return LoraUse(sha256=sha256, unet=unet, text_encoder=both)


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image).astype(int)


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference, 0…255."""
    return float(np.abs(pixels(one) - pixels(other)).mean())


def same(one: Image.Image, other: Image.Image) -> bool:
    """Bit for bit."""
    return one.size == other.size and one.mode == other.mode and one.tobytes() == other.tobytes()


def put(store: Store, data: bytes) -> str:
    """Store an asset; its SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(object_names.asset(sha256), data)
    return sha256


def put_tree(store: Store, folder: Path, changes: dict[str, bytes | None] | None = None) -> str:
    """Store a model folder with some files changed or (None) left out: `tree:<sha256>`."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    contents = {path: file.read_bytes() for path, file in files.items()} | (changes or {})
    hashes = {path: put(store, data) for path, data in contents.items() if data is not None}
    return f"tree:{put(store, json.dumps({'files': hashes}, sort_keys=True).encode())}"


def tiny_lora() -> Tensors:
    """The tensors of the tiny model's LoRA `wrong` in fp32, without its alpha."""
    return {name: weight.float() for name, weight in load(WRONG.read_bytes()).items()}


def random_pair(
    layer: str, inputs: int | None = None, outputs: int | None = None, rank: int = 4
) -> Tensors:
    """A LoRA of one layer, which has as many inputs and outputs as its part has channels."""
    width = UNET_WIDTH if layer.startswith("unet.") else TEXT_WIDTH
    inputs, outputs = inputs or width, outputs or width
    stream = np.random.RandomState(sum(layer.encode()))
    down = stream.standard_normal((rank, inputs)) / inputs**0.5
    up = stream.standard_normal((outputs, rank)) / rank**0.5
    return {
        f"{layer}.lora_A.weight": torch.from_numpy(down.astype(np.float32)),
        f"{layer}.lora_B.weight": torch.from_numpy(up.astype(np.float32)),
    }


def text_lora(encoders: Iterable[str] = ("text_encoder", "text_encoder_2")) -> Tensors:
    """A LoRA of the text encoders, in diffusers' layout."""
    tensors: Tensors = {}
    for encoder in encoders:
        projections = (f"0.self_attn.{name}_proj" for name in ("q", "k", "v", "out"))
        for layer in (*projections, "1.mlp.fc1"):
            name = f"{encoder}.text_model.encoder.layers.{layer}"
            hidden = setting("text_encoder", "intermediate_size") if "fc1" in layer else None
            tensors |= random_pair(name, outputs=hidden)
    return tensors


def kohya(tensors: Tensors, alpha: float) -> Tensors:
    """The same LoRA with kohya-ss' names and its alpha beside each layer."""
    prefixes = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
    renamed: Tensors = {}
    for name, weight in tensors.items():
        layer, _, side = name.partition(".lora_")
        component, _, path = layer.partition(".")
        flat = f"{prefixes[component]}_{path.replace('.', '_')}"
        renamed[f"{flat}.lora_{'down' if side.startswith('A') else 'up'}.weight"] = weight
        renamed[f"{flat}.alpha"] = torch.tensor(alpha)
    return renamed


def file_of(tensors: Tensors, metadata: dict[str, str] | None = None) -> bytes:
    return bytes(save(tensors, metadata))
