"""From a cell's settings to its Job: layers laid over each other, defaults that depend on the
cell's model filled in, words put into prompts, and all that cannot change a pixel dropped.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any, cast

from pydantic import JsonValue

from common.batch.document import Batch
from common.batch.templates import fill
from common.errors import GridfarmError
from common.job import (
    Crop,
    Job,
    LoraUse,
    NegativePrompt,
    RefinerUse,
    Size,
    builtin_models,
    parse_scheduler,
)

#: The settings that are filled in with words.
PROMPTS = (
    *("prompt", "prompt_2", "negative_prompt", "negative_prompt_2"),
    *("refiner.prompt", "refiner.negative_prompt"),
)

#: How the names of nested settings begin.
LORA, WORD, REFINER = "loras.", "words.", "refiner."

Settings = dict[str, JsonValue]

_SPACES = re.compile(r"[ \t\r\n]+")


def laid_over(below: Settings, above: Settings) -> Settings:
    """`above` over `below`. `loras` is replaced whole, those named alone (`loras.style`) too."""
    if "loras" in above:
        below = {name: value for name, value in below.items() if not name.startswith(LORA)}
    return below | above


def complete(settings: Settings) -> Settings:
    """Fill in the defaults that depend on the cell's model: size, dtype, VAE and refiner; LoRAs
    that are named alone join the others."""
    tiny = settings["model"] == builtin_models.TINY
    dtype = settings.get("dtype") or ("fp32" if tiny else "fp16")
    fp16_sdxl = dtype == "fp16" and not tiny
    vae = settings.get("vae") or (builtin_models.FP16_FIX if fp16_sdxl else builtin_models.OWN_VAE)
    refiner = builtin_models.TINY_REFINER_NAME if tiny else builtin_models.SDXL_REFINER
    loras = dict(cast("Settings", settings.get("loras") or {}))
    for name in [name for name in settings if name.startswith(LORA)]:
        loras[name.removeprefix(LORA)] = settings[name]
    alone = {name: value for name, value in settings.items() if not name.startswith(LORA)}
    with_loras: Settings = {"loras": loras} if loras else {}
    size = "128x128" if tiny else "1024x1024"
    defaults: Settings = {"size": size, "dtype": dtype, "vae": vae, "refiner.model": refiner}
    return defaults | alone | with_loras


def filled(settings: Settings) -> Settings:
    """With each prompt's words in their place, and its white space as the encoders read it: a
    run of spaces and line breaks is one space, none stands at an end."""
    words = {
        name.removeprefix(WORD): str(value)
        for name, value in settings.items()
        if name.startswith(WORD)
    }
    texts = {name: settings[name] for name in PROMPTS if isinstance(settings.get(name), str)}
    return settings | {name: _one_line(fill(str(text), words)) for name, text in texts.items()}


def _one_line(text: str) -> str:
    """Other kinds of space (no-break) stay: prompt weights end at an ordinary one only."""
    return _SPACES.sub(" ", text).strip(" ")


def job_of(settings: Settings, batch: Batch) -> Job:
    """Normalise complete settings: what cannot change a pixel is dropped, so that equal
    pictures have equal keys."""
    size = _size(settings["size"])
    negative = _negative(settings)
    fields: dict[str, Any] = {
        "model": _model(settings["model"], batch),
        "vae": None
        if settings["vae"] == builtin_models.OWN_VAE
        else _model(settings["vae"], batch),
        "refiner": _refiner(settings, batch, negative),
        "prompt_2": _second(settings.get("prompt_2"), settings["prompt"]),
        "negative_prompt": negative,
        "negative_prompt_2": _second_negative(settings, negative),
        "seed": int(cast(str, settings["seed"])),
        "width": size.width,
        "height": size.height,
        "original_size": _other_size(settings.get("original_size"), size),
        "target_size": _other_size(settings.get("target_size"), size),
        "crop": Crop.model_validate(settings.get("crop") or {}),
        "scheduler": parse_scheduler(settings.get("scheduler")),
        "loras": _loras(settings, batch),
    }
    same = ("prompt", "dtype", "noise", "steps", "guidance_scale", "high_noise_frac")
    return Job(**fields, **{name: settings[name] for name in (*same, "long_prompts")})


def _second(text: JsonValue, first: JsonValue) -> JsonValue:
    """What the second encoder reads, if that is something else; diffusers takes "" for none."""
    return text if text and text != first else None


def _unless(value: JsonValue, default: JsonValue) -> JsonValue:
    return None if value == default else value


def _size(written: JsonValue) -> Size:
    width, height = str(written).split("x")
    return Size(width=int(width), height=int(height))


def _other_size(written: JsonValue, size: Size) -> Size | None:
    told = _size(written) if written else size
    return None if told == size else told


def _negative(settings: Settings) -> str | None:
    """Guidance of 1 and below reads no negative prompt."""
    guided = cast(float, settings["guidance_scale"]) > 1
    return cast("str | None", settings["negative_prompt"]) if guided else None


def _second_negative(settings: Settings, negative: str | None) -> JsonValue:
    """Without a first one there is no second: SDXL's zeros stand for both."""
    return None if negative is None else _second(settings.get("negative_prompt_2"), negative)


def _model(written: JsonValue, batch: Batch) -> str:
    return batch.models[str(written)] or f"file:{_stand_in(written)}"


def _stand_in(written: JsonValue) -> str:
    """A hash for what is not resolved yet: an offline plan can still tell equal cells."""
    return hashlib.sha256(f"unresolved:{written}".encode()).hexdigest()


def _refiner(settings: Settings, batch: Batch, base_negative: str | None) -> RefinerUse | None:
    """The refiner's part; as in diffusers, `strength` means nothing to a refiner that takes
    over before the base is done."""
    own = {n.removeprefix(REFINER): v for n, v in settings.items() if n.startswith(REFINER)}
    takes_over = settings["high_noise_frac"] != 1
    if not takes_over and own.get("strength") is None:
        return None
    scale = cast(float, own.pop("guidance_scale", settings["guidance_scale"]))
    negative = own.pop("negative_prompt", settings["negative_prompt"])
    if scale <= 1:
        own.pop("negative_aesthetic_score", None)
        negative = base_negative
    steps = cast(int, own.get("steps", settings["steps"]))
    if not takes_over and int(steps * cast(float, own["strength"])) < 1:
        raise GridfarmError(
            f"refiner.strength {own['strength']} of {steps} steps is less than one step",
            hint="raise refiner.strength, or refiner.steps",
        )
    changed: dict[str, Any] = {
        "model": _model(own["model"], batch),
        "steps": _unless(steps, settings["steps"]),
        "guidance_scale": _unless(scale, settings["guidance_scale"]),
        "strength": None if takes_over else own["strength"],
        "prompt": _unless(own.get("prompt"), settings["prompt"]),
        "negative_prompt": None if negative == base_negative else NegativePrompt(text=negative),
    }
    return RefinerUse(**own | changed)


def _loras(settings: Settings, batch: Batch) -> tuple[LoraUse, ...]:
    over_all = settings.get("lora_scale", 1.0)
    uses = []
    for name, scale in cast("dict[str, Any]", settings.get("loras") or {}).items():
        both = isinstance(scale, dict)
        unet = _times(scale.get("unet", 1.0) if both else scale, over_all)
        text = _times(scale.get("text_encoder", 1.0) if both else scale, over_all)
        if unet or text:
            sha256 = batch.loras[name] or _stand_in(name)
            uses.append(LoraUse(sha256=sha256, unet=unet, text_encoder=text))
    if len({use.sha256 for use in uses}) < len(uses):
        raise GridfarmError(
            f"the LoRAs {', '.join(cast('Settings', settings['loras']))} of one cell are the same"
            " file",
            hint="name each LoRA file once in a cell and add up the scales",
        )
    return tuple(sorted(uses, key=lambda use: use.sha256))


def _times(scale: Any, over_all: Any) -> float:
    """In decimals, so that 0.7 × 0.1 is 0.07 and a key does not hang on binary rounding."""
    return float(Decimal(str(scale)) * Decimal(str(over_all))) + 0.0
