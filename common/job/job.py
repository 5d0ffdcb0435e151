"""The Job: everything that decides the pixels of one picture, and the key made from it.

The key is the SHA-256 of the Job's canonical JSON (RFC 8785, JSON Canonicalization Scheme).
A field that a picture does not use is left out of the JSON, so a feature that comes later
never changes the key of a picture rendered before. `tests/common/job/test_job.py` holds golden
keys; if one changes, every stored picture is lost to its owner, so raise RENDERER_EPOCH instead.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.job.model_ref import ModelRef

#: Raised when the renderer starts to draw other pixels for an unchanged Job.
RENDERER_EPOCH = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=200_000)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Guidance = Annotated[Finite, Field(ge=0, le=100)]
Whole = Annotated[int, Field(gt=-(2**53), lt=2**53)]
Pixels = Annotated[int, Field(ge=0, le=16_384)]
DType = Literal["fp16", "bf16", "fp32"]
#: What becomes of a prompt that the text encoders cannot read at once.
LongPrompts = Literal["truncate", "chunk"]
#: Where the noise is drawn.
Noise = Literal["cpu", "cuda"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class LoraUse(_Frozen):
    """One LoRA in a cell: its file by SHA-256, and its strength on UNet and text encoders."""

    sha256: Sha256
    unet: Finite
    text_encoder: Finite


class NegativePrompt(_Frozen):
    """A negative prompt of the refiner's own, which may be none."""

    text: Text | None


class RefinerUse(_Frozen):
    """The refiner's part: it takes over at `high_noise_frac` < 1 or, where that is 1, repaints
    the base's finished latents at `strength` (image to image).

    `steps` and `guidance_scale` None are the base's, as are `prompt` and `negative_prompt`.
    """

    model: ModelRef
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    strength: Annotated[Finite, Field(gt=0, le=1)] | None = None
    aesthetic_score: Finite = 6.0
    negative_aesthetic_score: Finite = 2.5
    prompt: Text | None = None
    negative_prompt: NegativePrompt | None = None


class Size(_Frozen):
    """Pixels, as SDXL is told them. diffusers' tuples are (height, width)."""

    width: Pixels
    height: Pixels


class Crop(_Frozen):
    """Pixels cut off at the top and left, as SDXL is told: `crops_coords_top_left`."""

    top: Pixels = 0
    left: Pixels = 0


class SchedulerUse(_Frozen):
    """A diffusers scheduler class with the options that differ from the model's own config."""

    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]
    options: dict[str, bool | Whole | Finite | str] = {}


class Job(_Frozen):
    """Everything that can change a pixel. Equal Jobs are one picture.

    `width` and `height` are pixels. `seed` is 0…2⁶⁴−1. `negative_prompt` None is "no negative
    prompt" (SDXL's zeros), which differs from "" (an encoded empty text). `prompt_2` and
    `negative_prompt_2` are what the second text encoder reads, None: the same as the first.
    `original_size` and `target_size` None are the picture's size. `scheduler` and `vae` None
    are the model's own. `loras` are ordered by hash.
    """

    epoch: int = RENDERER_EPOCH
    model: ModelRef
    dtype: DType
    vae: ModelRef | None = None
    prompt: Text
    prompt_2: Text | None = None
    negative_prompt: Text | None = None
    negative_prompt_2: Text | None = None
    long_prompts: LongPrompts = "truncate"
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    noise: Noise = "cpu"
    width: Annotated[int, Field(ge=64, le=8192, multiple_of=8)]
    height: Annotated[int, Field(ge=64, le=8192, multiple_of=8)]
    original_size: Size | None = None
    target_size: Size | None = None
    crop: Crop = Crop()
    steps: Steps
    guidance_scale: Guidance
    high_noise_frac: Annotated[Finite, Field(gt=0, le=1)] = 1.0
    refiner: RefinerUse | None = None
    scheduler: SchedulerUse | None = None
    loras: tuple[LoraUse, ...] = ()

    @model_validator(mode="after")
    def _refiner_goes_with_its_fraction(self) -> Job:
        takes_over = self.refiner is not None and self.refiner.strength is None
        if takes_over != (self.high_noise_frac < 1):
            raise ValueError(
                "high_noise_frac < 1 goes with a refiner without strength, 1 with none or strength"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without unused fields; the seed is a decimal string (RFC 8785 numbers
        are doubles, and a 64-bit seed is not one)."""
        data = self.model_dump(exclude_defaults=True)
        return data | {"epoch": self.epoch, "seed": str(self.seed)}

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """The inverse of `to_json`, validated. Raises pydantic.ValidationError."""
        return cls.model_validate(data)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON: 64 hex digits, the picture's name in the store."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).hexdigest()
