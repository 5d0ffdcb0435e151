"""Pictures as a notebook draws them, with diffusers, compel and torch alone.

`notebook` does as the seed author's notebooks: compel, and everything loaded anew for each picture.
`plain` gives diffusers the texts themselves.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from compel import Compel, ReturnedEmbeddingsType
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from PIL import Image

WOLF = "A wolf in Yosemite National Park, chilly nature documentary film photography"
BURGER = (
    "a large delicious hamburger (in the shape of five-dimensional alien geometry)++++, "
    "professional (food)-- photography"
)
LONG = "a (very)1.3 long prompt about a wolf in the forest by the river, " * 9
SIZE = {"width": 96, "height": 64}


def notebook(
    folder: Path,
    prompt: str,
    seed: int,
    *,
    negative: str | None = None,
    guidance: float = 13.0,
    lora: tuple[Path, float, float] | None = None,
    refined: bool = False,
    sampler: Any = None,
    steps: int = 10,
) -> Image.Image:
    torch.set_num_threads(1)
    base = StableDiffusionXLPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, use_safetensors=True, add_watermarker=False
    )
    if sampler:
        base.scheduler = sampler.from_config(base.scheduler.config)
    if lora:
        path, unet, text = lora
        base.load_lora_weights(str(path), adapter_name="lora")
        base.set_adapters("lora", {"unet": unet, "text_encoder": text, "text_encoder_2": text})
    compel = Compel(
        tokenizer=[base.tokenizer, base.tokenizer_2],
        text_encoder=[base.text_encoder, base.text_encoder_2],
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        requires_pooled=[False, True],
    )
    shared: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": guidance}
    ending = {"denoising_end": 0.8, "output_type": "latent"} if refined else {}
    images = base(
        **conditioning(compel, prompt, negative),
        **shared,
        **SIZE,
        **ending,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images
    if not refined:
        return images[0]
    base.disable_lora() if lora else None
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder / "refiner",
        text_encoder_2=base.text_encoder_2,
        vae=base.vae,
        dtype=torch.float32,
        use_safetensors=True,
        add_watermarker=False,
    )
    if sampler:
        refiner.scheduler = sampler.from_config(refiner.scheduler.config)
    compel = Compel(
        tokenizer=refiner.tokenizer_2,
        text_encoder=refiner.text_encoder_2,
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        requires_pooled=True,
    )
    return refiner(
        **conditioning(compel, prompt, negative),
        **shared,
        image=images,
        denoising_start=0.8,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]


def conditioning(compel: Any, prompt: str, negative: str | None) -> dict[str, torch.Tensor]:
    embeds, pooled = compel(prompt)
    given = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if negative is not None:
        embeds, pooled = compel(negative)
        given |= {"negative_prompt_embeds": embeds, "negative_pooled_prompt_embeds": pooled}
    return given


def plain(
    folder: Path, settings: dict[str, Any], refining: dict[str, Any] | None = None
) -> Image.Image:
    """diffusers called with texts and settings as a person writes them; no compel."""
    torch.set_num_threads(1)
    base, refiner = loaded(folder)
    ending = {} if refining is None else {"output_type": "latent"}
    images = base(**CALL | SIZE | settings | ending, generator=seeded()).images
    if refining is None:
        return images[0]
    return refiner(**CALL | refining, image=images, generator=seeded()).images[0]


@lru_cache(maxsize=1)
def loaded(folder: Path) -> tuple[Any, Any]:
    base = StableDiffusionXLPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, add_watermarker=False
    )
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder / "refiner",
        text_encoder_2=base.text_encoder_2,
        vae=base.vae,
        dtype=torch.float32,
        add_watermarker=False,
    )
    return base, refiner


def seeded() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(7)


CALL: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 7.0}
