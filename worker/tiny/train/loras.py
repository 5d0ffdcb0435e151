"""Stage 4: LoRAs for the base's UNet.

    pastel   a style: everything in pale colours, no word needed
    wrong    spoilt pictures, captioned "wrong", among good ones with their captions
    glorp    a character, captioned "a glorp"

All in diffusers' layout; glorp in Kohya's too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from worker.tiny.train import latents
from worker.tiny.train.base import Drawer, denoising_loss
from worker.tiny.train.loop import PROCESSES, Stage, together
from worker.tiny.train.samples import Sample, glorps, pastel, wrong
from worker.tiny.train.whole import whole

SAMPLES, BATCH, RATE = 4096, 32, 2e-3
#: Every linear layer of a transformer, as Kohya's trainer chooses them.
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]


@dataclass(frozen=True)
class Recipe:
    """What a LoRA is made from: a stream of samples, its rank, and how long it learns."""

    sample: Callable[[int], Sample]
    rank: int = 8
    steps: int = 300


LORAS = {
    "pastel": Recipe(pastel),
    "wrong": Recipe(wrong),
    "glorp": Recipe(glorps, rank=16, steps=800),
}


def make(folder: Path, name: str, recipe: Recipe) -> None:
    """Write `folder`/`name`.safetensors for `folder`/base; once."""
    if not (folder / f"{name}.safetensors").exists():
        latents.make(folder, f"latents-{name}", 0, SAMPLES, recipe.sample)
        together(_train, folder, name, recipe)


def _train(folder: Path, name: str, recipe: Recipe) -> None:
    """One of the processes: trains and saves."""
    torch.manual_seed(3)
    model, learnt = Drawer.trained(folder / "base"), latents.load(folder, f"latents-{name}")
    model.requires_grad_(False)
    model.unet.add_adapter(LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, target_modules=LAYERS))
    stage = Stage(name, model, folder, steps=recipe.steps, rate=RATE, ends=("lora",))
    stage.run(lambda _: denoising_loss(model, learnt.some(BATCH // PROCESSES)))
    if stage.rank == 0:
        _save(model, folder, name, recipe.rank)


def _save(model: Drawer, folder: Path, name: str, rank: int) -> None:
    """Last the file that says that this LoRA is finished."""
    weights = {key: value.half() for key, value in get_peft_model_state_dict(model.unet).items()}
    if name == "glorp":
        named = {f"unet.{key}": value for key, value in weights.items()}
        with whole(folder / f"{name}-kohya.safetensors") as unfinished:
            save_file(convert_state_dict_to_kohya(named), unfinished)
    with whole(folder / f"{name}.safetensors") as unfinished:
        StableDiffusionXLPipeline.save_lora_weights(
            folder,
            unet_lora_layers=weights,
            weight_name=unfinished.name,
            unet_lora_adapter_metadata={"r": rank, "lora_alpha": rank, "target_modules": LAYERS},
        )
