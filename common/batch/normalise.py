"""From a cell's settings to its Job: layers laid over each other, defaults that depend on the
cell's model filled in, words put into prompts, and all that cannot change a pixel dropped.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any, TypeVar, cast

from pydantic import JsonValue

from common.batch.cell_settings import COLLECTIONS, PROMPTS, CellSettings, LoraScale
from common.batch.document import Batch
from common.batch.templates import fill
from common.errors import GridfarmError
from common.job import (
    Crop,
    Job,
    LoraUse,
    ModelRef,
    NegativePrompt,
    RefinerUse,
    Size,
    builtin_models,
    parse_scheduler,
)

#: How the names of nested settings begin.
LORA, WORD, REFINER = "loras.", "words.", "refiner."

#: Settings by their flat names, on their way to a CellSettings.
FlatSettings = dict[str, JsonValue]

#: Fields of a Job that a cell's settings have too, and of its refiner with the setting of each.
_ALIKE = tuple(name for name in Job.model_fields if name in CellSettings.model_fields)
_REFINERS = {
    name: f"refiner_{name}"
    for name in RefinerUse.model_fields
    if f"refiner_{name}" in CellSettings.model_fields
}

T = TypeVar("T")
_SPACES = re.compile(r"[ \t\r\n]+")


def laid_over(below: FlatSettings, above: FlatSettings) -> FlatSettings:
    """`above` over `below`. `loras` is replaced whole, those named alone (`loras.style`) too."""
    for whole in COLLECTIONS:
        if whole in above:
            below = {n: value for n, value in below.items() if not n.startswith(f"{whole}.")}
    return below | above


def complete(settings: FlatSettings) -> FlatSettings:
    """Fill in the defaults that depend on the cell's model: size, dtype, VAE and refiner; LoRAs
    that are named alone join the others."""
    tiny = settings["model"] == builtin_models.TINY
    dtype = settings.get("dtype") or ("fp32" if tiny else "fp16")
    fp16_sdxl = dtype == "fp16" and not tiny
    vae = settings.get("vae") or (builtin_models.FP16_FIX if fp16_sdxl else builtin_models.OWN_VAE)
    refiner = builtin_models.TINY_REFINER_NAME if tiny else builtin_models.SDXL_REFINER
    size = "128x128" if tiny else "1024x1024"
    defaults: FlatSettings = {"size": size, "dtype": dtype, "vae": vae, "refiner.model": refiner}
    for whole in COLLECTIONS:
        settings = _joined(settings, whole)
    return defaults | settings


def _joined(settings: FlatSettings, whole: str) -> FlatSettings:
    """With the entries of a collection that are set alone among the others."""
    alone = [name for name in settings if name.startswith(f"{whole}.")]
    if not alone:
        return settings
    entries = dict(cast("FlatSettings", settings.get(whole) or {}))
    others = dict(settings)
    for name in alone:
        entries[name.partition(".")[2]] = others.pop(name)
    return others | {whole: entries}


def filled(settings: FlatSettings) -> FlatSettings:
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


def job_of(settings: CellSettings, batch: Batch) -> Job:
    """Normalise complete settings: what cannot change a pixel is dropped, so that equal
    pictures have equal keys. What is not named here is taken as it is set."""
    size = _size(settings.size)
    negative = _negative(settings)
    own_vae = settings.vae == builtin_models.OWN_VAE
    normalised: dict[str, Any] = {
        "model": _model(settings.model, batch),
        "vae": None if own_vae else _model(settings.vae, batch),
        "refiner": _refiner(settings, batch, negative),
        "prompt_2": _second(settings.prompt_2, settings.prompt),
        "negative_prompt": negative,
        "negative_prompt_2": _second_negative(settings, negative),
        "width": size.width,
        "height": size.height,
        "original_size": _other_size(settings.original_size, size),
        "target_size": _other_size(settings.target_size, size),
        "crop": Crop.model_validate(settings.crop),
        "scheduler": parse_scheduler(settings.scheduler),
        "loras": _loras(settings, batch),
    }
    alike = {name: getattr(settings, name) for name in _ALIKE}
    return Job(**alike | normalised)


def _second(text: str | None, first: str) -> str | None:
    """What the second encoder reads, if that is something else; diffusers takes "" for none."""
    return text if text and text != first else None


def _size(written: str) -> Size:
    width, height = written.split("x")
    return Size(width=int(width), height=int(height))


def _other_size(written: str | None, size: Size) -> Size | None:
    told = _size(written) if written else size
    return None if told == size else told


def _negative(settings: CellSettings) -> str | None:
    """Guidance of 1 and below reads no negative prompt."""
    return settings.negative_prompt if settings.guidance_scale > 1 else None


def _second_negative(settings: CellSettings, negative: str | None) -> str | None:
    """Without a first one there is no second: SDXL's zeros stand for both."""
    return None if negative is None else _second(settings.negative_prompt_2, negative)


def _model(name: str, batch: Batch) -> ModelRef:
    return ModelRef.parse(batch.models[name] or f"file:{_stand_in(name)}")


def _stand_in(name: str) -> str:
    """A hash for what is not resolved yet: an offline plan can still tell equal cells."""
    return hashlib.sha256(f"unresolved:{name}".encode()).hexdigest()


def _refiner(settings: CellSettings, batch: Batch, base_negative: str | None) -> RefinerUse | None:
    """The refiner's part; as in diffusers, `strength` means nothing to a refiner that takes
    over before the base is done."""
    takes_over = settings.high_noise_frac != 1
    strength = None if takes_over else settings.refiner_strength
    if not takes_over and strength is None:
        return None
    steps = _own(settings.refiner_steps, settings.steps)
    if strength is not None and int(steps * strength) < 1:
        raise GridfarmError(
            f"refiner.strength {strength} of {steps} steps is less than one step",
            hint="raise refiner.strength, or refiner.steps",
        )
    scale = _own(settings.refiner_guidance_scale, settings.guidance_scale)
    negative = _refiners_negative(settings) if scale > 1 else base_negative
    normalised: dict[str, Any] = {
        "model": _model(settings.refiner_model, batch),
        "steps": _unless(steps, settings.steps),
        "guidance_scale": _unless(scale, settings.guidance_scale),
        "strength": strength,
        "prompt": _unless(settings.refiner_prompt, settings.prompt),
        "negative_prompt": None if negative == base_negative else NegativePrompt(text=negative),
    }
    own = ((field, getattr(settings, name)) for field, name in _REFINERS.items())
    alike = {field: value for field, value in own if value is not None}
    if scale <= 1:
        alike.pop("negative_aesthetic_score", None)
    return RefinerUse(**alike | normalised)


def _refiners_negative(settings: CellSettings) -> str | None:
    """None that is set is no negative prompt; one that is not is the base's, which a base
    without guidance does not read itself."""
    own = "refiner_negative_prompt" in settings.model_fields_set
    return settings.refiner_negative_prompt if own else settings.negative_prompt


def _own(value: T | None, others: T) -> T:
    return others if value is None else value


def _unless(value: T, default: T) -> T | None:
    return None if value == default else value


def _loras(settings: CellSettings, batch: Batch) -> tuple[LoraUse, ...]:
    uses = []
    for name, scale in settings.loras.items():
        unet, text_encoder = _scales(scale, settings.lora_scale)
        if unet or text_encoder:
            sha256 = batch.loras[name] or _stand_in(name)
            uses.append(LoraUse(sha256=sha256, unet=unet, text_encoder=text_encoder))
    if len({use.sha256 for use in uses}) < len(uses):
        raise GridfarmError(
            f"the LoRAs {', '.join(settings.loras)} of one cell are the same file",
            hint="name each LoRA file once in a cell and add up the scales",
        )
    return tuple(sorted(uses, key=lambda use: use.sha256))


def _scales(scale: LoraScale, over_all: float) -> tuple[float, float]:
    """On the UNet and on the text encoders."""
    if not isinstance(scale, dict):
        return (_times(scale, over_all),) * 2
    unet, text_encoder = scale.get("unet", 1.0), scale.get("text_encoder", 1.0)
    return _times(unet, over_all), _times(text_encoder, over_all)


def _times(scale: float, over_all: float) -> float:
    """In decimals, so that 0.7 × 0.1 is 0.07 and a key does not hang on binary rounding."""
    return float(Decimal(str(scale)) * Decimal(str(over_all))) + 0.0
