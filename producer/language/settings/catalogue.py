"""The catalogue of settings: how each is written in a batch file, one row a setting.

Everything that lists, checks or suggests settings reads this table. What a setting is once it
is read stands in `common.batch.CellSettings`, a field a setting, of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import EllipsisType, MappingProxyType
from typing import Literal

from pydantic import JsonValue

from common.batch import TRAITS
from common.job import builtin_models
from producer.language.settings.values import (
    CROP,
    GUIDANCE,
    LORAS,
    NEGATIVE_PROMPT,
    PROMPT,
    SCALE,
    SCHEDULER,
    SCORE,
    SEED,
    SIZE,
    STEPS,
    TOLD_SIZE,
    WORD_TEXT,
    Form,
    choice,
    model,
    number,
    strength_of,
)
from producer.language.yaml import Entries


@dataclass(frozen=True)
class Setting:
    """`read` checks a value, `about` says what it is. An axis of a `numeric` setting can be a
    range, of a `text` one a list of texts from a file, of a `file` one files; `pixels` shrink
    where a model draws smaller pictures. `owns` says whether a mapping is this setting's own
    value; otherwise it is a bundle of settings."""

    read: Form
    about: str
    kind: Literal["", "numeric", "text", "file", "pixels"] = ""
    owns: Callable[[Entries], bool] = lambda _entries: False


#: By their flat names; `refiner: {steps: 10}` is another spelling of `refiner.steps: 10`.
SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "model": Setting(
            model(builtin_models.SDXL, builtin_models.TINY),
            "The base: sdxl, tiny, a hub id (owner/name@revision), a folder or a .safetensors file",
            "file",
        ),
        "prompt": Setting(PROMPT, "What to draw; (words)++ weigh more, {animal} is a word", "text"),
        "prompt_2": Setting(PROMPT, "What SDXL's second text encoder reads instead", "text"),
        "negative_prompt": Setting(
            NEGATIVE_PROMPT, 'What not to draw; null is none, "" an empty text', "text"
        ),
        "negative_prompt_2": Setting(
            PROMPT, "The negative prompt that the second text encoder reads instead", "text"
        ),
        "seed": Setting(
            SEED,
            "The number that the noise is drawn from, 0 to 2⁶⁴ − 1",
            "numeric",
        ),
        "noise": Setting(
            choice("cpu", "cuda"), "Where the noise is drawn: cuda as in most notebooks"
        ),
        "steps": Setting(STEPS, "Denoising steps, 1 to 1000", "numeric"),
        "guidance_scale": Setting(
            GUIDANCE, "How strongly to follow the prompt (CFG), 0 to 100", "numeric"
        ),
        "high_noise_frac": Setting(
            number(0, 1, above=True),
            "The part of the steps that the base draws before the refiner; 1 is no refiner",
            "numeric",
        ),
        "size": Setting(
            SIZE,
            "WIDTHxHEIGHT of the picture in pixels, multiples of 8; 1024x1024, for tiny 128x128",
            "pixels",
        ),
        "original_size": Setting(
            TOLD_SIZE, "WxH that SDXL is told the original had; else the size", "pixels"
        ),
        "target_size": Setting(
            TOLD_SIZE, "WxH that SDXL is told to aim at; else the size", "pixels"
        ),
        "crop": Setting(
            CROP,
            "Pixels that SDXL is told were cut off: {top: 0, left: 256}",
            "pixels",
            owns=lambda entries: entries.values.keys() <= {"top", "left"},
        ),
        "scheduler": Setting(
            SCHEDULER,
            "The sampler: dpm++ 2m karras, {name: euler, …}; default is the model's own",
            owns=lambda entries: "name" in entries.values,
        ),
        "loras": Setting(
            LORAS,
            "LoRAs by their names in lora_files, and their strengths: {style: 0.8}",
            "file",
            owns=lambda _entries: True,
        ),
        "lora_scale": Setting(SCALE, "Multiplies the strength of every LoRA", "numeric"),
        "vae": Setting(
            model(builtin_models.FP16_FIX, builtin_models.OWN_VAE),
            "The VAE: fp16-fix, own (the model's), a hub id, a folder or a file",
            "file",
        ),
        "dtype": Setting(
            choice("fp16", "fp32", "bf16"), "The precision of the weights; fp16, for tiny fp32"
        ),
        "long_prompts": Setting(
            choice("truncate", "chunk"), "truncate cuts prompts at 75 tokens, chunk reads all"
        ),
        "refiner.model": Setting(
            model(builtin_models.SDXL_REFINER, builtin_models.TINY_REFINER_NAME),
            "The refiner: sdxl-refiner, a hub id, a folder or a .safetensors file",
            "file",
        ),
        "refiner.steps": Setting(
            STEPS, "The steps of a whole run, of which it does its part", "numeric"
        ),
        "refiner.guidance_scale": Setting(
            GUIDANCE, "How strongly the refiner follows the prompt", "numeric"
        ),
        "refiner.strength": Setting(
            number(0, 1, above=True),
            "Repaint the base's finished picture this strongly, at high_noise_frac 1",
            "numeric",
        ),
        "refiner.aesthetic_score": Setting(
            SCORE, "How beautiful the picture is to be; else 6", "numeric"
        ),
        "refiner.negative_aesthetic_score": Setting(
            SCORE, "The score that the refiner moves away from; else 2.5", "numeric"
        ),
        "refiner.prompt": Setting(PROMPT, "What the refiner reads instead of the prompt", "text"),
        "refiner.negative_prompt": Setting(
            NEGATIVE_PROMPT, "What the refiner reads instead of the negative prompt", "text"
        ),
    }
)


WORD = Setting(WORD_TEXT, "What this word, written {word} in a prompt, stands for", "text")


def find_setting(name: str) -> Setting | None:
    """The setting of that flat name: one of SETTINGS, one LoRA's strength, or a word."""
    group, _, inner = name.partition(".")
    if group == "loras" and inner:
        return Setting(
            strength_of(inner),
            "The strength of this LoRA: 0.8, or {unet: 1, text_encoder: 0}",
            "numeric",
            owns=lambda entries: entries.values.keys() <= {"unet", "text_encoder"},
        )
    return WORD if group == "words" and inner else SETTINGS.get(name)


#: The defaults that depend on nothing; size, dtype, vae and refiner depend on the model.
DEFAULTS: Mapping[str, JsonValue] = MappingProxyType(
    {
        name: default
        for name in SETTINGS
        if not isinstance(default := TRAITS[name].default, EllipsisType)
    }
)

#: The settings that words are filled in.
PROMPTS = tuple(name for name in SETTINGS if TRAITS[name].words)

#: The settings in pixels.
SIZES = tuple(name for name, setting in SETTINGS.items() if setting.kind == "pixels")
