"""A tiny SDXL: real diffusers and transformers classes with seeded weights, built in seconds.

It takes every road that SDXL takes (two text encoders, pooled and size conditioning, an
ensemble of experts, a VAE of factor 8, LoRAs), so demo and tests run the real pipelines on a
CPU. It has learnt nothing: it draws coloured clouds that depend on prompt, seed and LoRA.

    <folder>/base, <folder>/refiner   pipelines in the hub's folder layout
    <folder>/wrong.safetensors        a UNet-only LoRA in diffusers' layout, with its alpha

Every weight is drawn from numpy's RandomState, whose stream is frozen, and scaled by IEEE
arithmetic alone, so the files are the same on every machine.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import save as safetensors_bytes
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from common.job import TINY_BASE
from common.safetensors_file import TINY_LORA

SEED = 2
"""Chosen by eye: of the first seven, these weights draw the most varied pictures."""

WIDTH = 32
"""Channels of either text encoder; the base's UNet attends to both side by side."""

LEVELS = (8, 8, 16, 16, 32)
"""Channels of the UNet, from the latents' full size down: few where there are many pixels."""

VAE_LEVELS = (4, 4, 8, 8)
TIME_ID_WIDTH = 8
BASE_TIME_IDS, REFINER_TIME_IDS = 6, 5
LORA_RANK, LORA_ALPHA = 4, 8
DOWN = (*("DownBlock2D",) * 4, "CrossAttnDownBlock2D")
UP = ("CrossAttnUpBlock2D", *("UpBlock2D",) * 4)

BLUR = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 6
"""A smoothing kernel whose squares sum to 1."""

SKIPS = (1.0, 0.5, 0.3, 0.1, 0.05)
"""How much of the UNet's skip connections is used, coarsest first: with all of it the picture
would be noise on every scale, with this it is clouds."""

WORDS = (
    "a an the of in on at and with for from by to is no not very photo photograph photography "
    "film picture image painting portrait drawing illustration art style digital render scene "
    "detailed professional cinematic documentary national park nature chilly extreme close up "
    "wolf cat dog bird horse fish fox bear owl lion tiger man woman person people child face "
    "hand hands eye eyes hair city street house room table window mountain forest tree river "
    "sea ocean beach sky cloud sun moon star night day snow rain fire water light shadow dark "
    "bright red green blue yellow orange purple black white grey gold silver color colour big "
    "small large tiny old young new happy sad beautiful ugly delicious hamburger food shape "
    "dimensional alien geometry robot world evil front page journal street cover story paper "
    "papers signing usa president swift taylor taken associated press lossless scan issue wall "
    "wrong bad low high quality resolution blurry blur sharp noise grain artifact distorted "
    "deformed extra missing fingers text watermark signature worst best"
)
"""What the tokenizers' merges are made of. All other text is spelt in bytes, in any script."""


Model = TypeVar("Model", bound=nn.Module)


def cached(cache_dir: Path) -> Path:
    """The tiny SDXL's folder below `cache_dir`, built on first use.

    It appears whole or not at all; several processes may build at once, the first one wins.
    """
    folder = cache_dir / TINY_BASE
    if not folder.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{TINY_BASE}-", dir=cache_dir))
        build(partial)
        _rename(partial, folder)
    return folder


def _rename(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
        if not folder.is_dir():
            raise


def build(folder: Path) -> None:
    """Write `base`, `refiner` and `wrong.safetensors` into `folder`."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        base = _base()
        refiner = _refiner(base)
    base.save_pretrained(folder / "base")
    refiner.save_pretrained(folder / "refiner")
    shutil.copyfile(TINY_LORA, folder / "wrong.safetensors")


def lora_bytes() -> bytes:
    """The tiny LoRA as a file; `common/data` keeps a copy, so that the producer needs no torch.

    The one key in its metadata is diffusers' own: a JSON object of peft's LoraConfig fields.
    """
    with torch.random.fork_rng(devices=[]):
        layers = dict(_attention_layers(_unet(2 * WIDTH, BASE_TIME_IDS)))
    config = {"lora_alpha": LORA_ALPHA, "r": LORA_RANK, "target_modules": sorted(layers)}
    metadata = {f"unet.{name}": value for name, value in config.items()}
    tensors = {
        f"unet.{name}.{side}.weight": _uniform(f"lora/{name}/{side}", shape, gain / shape[1] ** 0.5)
        for name, layer in layers.items()
        for side, shape, gain in (
            ("lora_A", (LORA_RANK, layer.in_features), 1.0),
            ("lora_B", (layer.out_features, LORA_RANK), 0.7),
        )
    }
    return bytes(safetensors_bytes(tensors, {"lora_adapter_metadata": json.dumps(metadata)}))


def _attention_layers(unet: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Linear) and (".attn1." in name or ".attn2." in name):
            yield name, layer


def _base() -> StableDiffusionXLPipeline:
    first = CLIPTextModel(_text_config("quick_gelu"))
    second = CLIPTextModelWithProjection(_text_config("gelu"))
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_seeded(first, "text_encoder", _text_gain),
        text_encoder_2=_seeded(second, "text_encoder_2", _text_gain),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        unet=_denoiser("base", 2 * WIDTH, BASE_TIME_IDS, clouds=0.2),
        scheduler=_scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _refiner(base: StableDiffusionXLPipeline) -> StableDiffusionXLImg2ImgPipeline:
    """Like SDXL's: its own UNet; the VAE and the second encoder are the base's."""
    return StableDiffusionXLImg2ImgPipeline(
        vae=base.vae,
        text_encoder=None,
        text_encoder_2=base.text_encoder_2,
        tokenizer=None,
        tokenizer_2=base.tokenizer_2,
        unet=_denoiser("refiner", WIDTH, REFINER_TIME_IDS, clouds=1.0),
        scheduler=_scheduler(),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def _scheduler() -> EulerDiscreteScheduler:
    """With the config of stabilityai/stable-diffusion-xl-base-1.0."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        interpolation_type="linear",
        prediction_type="epsilon",
        steps_offset=1,
        timestep_spacing="leading",
    )


def _text_config(activation: str) -> CLIPTextConfig:
    vocabulary, _ = _vocabulary()
    return CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_act=activation,
        max_position_embeddings=77,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=1,
    )


def _tokenizer(pad_token: str) -> CLIPTokenizer:
    vocabulary, merges = _vocabulary()
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, pad_token=pad_token)


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's order: bytes, bytes that end a word, merges, the two markers."""
    letters = list(_byte_letters())
    merges = list(dict.fromkeys(merge for word in WORDS.split() for merge in _merges(word)))
    ends = [f"{letter}</w>" for letter in letters]
    joined = [left + right for left, right in merges]
    tokens = [*letters, *ends, *joined, "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges


def _byte_letters() -> Iterator[str]:
    """A printable letter for each of the 256 bytes, as GPT-2's and CLIP's tokenizers have it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, printable)
    yield from (chr(256 + number) for number in range(256 - len(printable)))


def _merges(word: str) -> Iterator[tuple[str, str]]:
    letters = [*word[:-1], f"{word[-1]}</w>"]
    for at in range(1, len(letters)):
        yield "".join(letters[:at]), letters[at]


def _unet(cross_attention_dim: int, time_ids: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=LEVELS,
        layers_per_block=1,
        down_block_types=DOWN,
        up_block_types=UP,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=cross_attention_dim,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=WIDTH + time_ids * TIME_ID_WIDTH,
    )


def _denoiser(
    part: str, cross_attention_dim: int, time_ids: int, *, clouds: float
) -> UNet2DConditionModel:
    """A UNet that predicts its input as the noise, plus clouds of its own, so strong.

    The input passes through the outermost skip connection in pairs of channels +x and -x,
    since silu(x) - silu(-x) = x; so the sampler removes the noise and keeps the clouds.
    """
    unet = _seeded(_unet(cross_attention_dim, time_ids), part, _unet_gain)
    pairs = torch.eye(4).repeat_interleave(2, 0) * torch.tensor([1.0, -1.0]).repeat(4)[:, None]
    with torch.no_grad():
        _quieten_skips(unet)
        unet.conv_in.weight.zero_()[:, :, 1, 1] = pairs
        last = unet.up_blocks[-1].resnets[-1]
        last.conv2.weight.mul_(0.7)
        last.conv_shortcut.weight[:, LEVELS[0] :, 0, 0] = torch.eye(LEVELS[0])
        unet.conv_out.weight.mul_(clouds)
        unet.conv_out.weight[:, :, 1, 1] += 1.5 * pairs.T
        for layer in (unet.conv_in, unet.conv_out):
            layer.bias.zero_()
    return unet


def _quieten_skips(unet: UNet2DConditionModel) -> None:
    coarse_first = LEVELS[::-1]
    for level, (block, share) in enumerate(zip(unet.up_blocks, SKIPS, strict=True)):
        for at, resnet in enumerate(block.resnets):
            own = coarse_first[max(level - 1, 0)] if at == 0 else coarse_first[level]
            resnet.conv1.weight[:, own:] *= share
            resnet.conv_shortcut.weight[:, own:] *= share


def _vae() -> AutoencoderKL:
    """Four levels, so one latent is 8 × 8 pixels; scaled to use the range of colours."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=VAE_LEVELS,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=1024,
        scaling_factor=0.13025,
        force_upcast=True,
        mid_block_add_attention=False,
    )
    _seeded(vae, "vae", lambda _: 1.0)
    with torch.no_grad():
        last = vae.decoder.conv_out
        last.weight.sub_(last.weight.mean(dim=1, keepdim=True)).mul_(0.6)
        last.bias.zero_()
    return vae


def _text_gain(name: str) -> float:
    if "token_embedding" in name:
        return math.sqrt(WIDTH)
    return 0.2 * math.sqrt(WIDTH) if "position_embedding" in name else 1.0


def _unet_gain(name: str) -> float:
    """Cross-attention is loud, so that the prompt is seen."""
    if ".attn2." not in name:
        return 1.0
    return 2.0 if "to_q" in name or "to_k" in name else 1.5


def _seeded(model: Model, part: str, gain: Callable[[str], float]) -> Model:
    """Give every parameter its seeded weights. Norms stay the identity; `gain` is by name."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.copy_(_weight(f"{part}/{name}", weight.shape, gain(name)))
    model.eval()
    return model


def _weight(name: str, shape: torch.Size, gain: float) -> torch.Tensor:
    """Scaled so that a layer keeps its input's variance. 3 × 3 kernels are mostly a blur."""
    if len(shape) == 1:
        return _uniform(name, shape, 0.05)
    deviation = gain / math.prod(shape[1:]) ** 0.5
    values = _uniform(name, shape, deviation)
    if shape[2:] != (3, 3):
        return values
    mixed = _uniform(f"{name}/blur", (*shape[:2], 1, 1), gain / shape[1] ** 0.5)
    return 0.2 * values + 0.8 * mixed * BLUR


def _uniform(name: str, shape: tuple[int, ...], deviation: float) -> torch.Tensor:
    """Uniform numbers of mean 0, seeded by the weight's name: a new weight moves no other."""
    stream = np.random.RandomState(zlib.crc32(f"{SEED}/{name}".encode()))
    values = (stream.random_sample(shape) * 2 - 1) * (deviation * 3**0.5)
    return torch.from_numpy(values.astype(np.float32))
