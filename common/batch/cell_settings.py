"""What one cell is drawn with: every setting, with its type and what else is known of it.

Adding a setting is a field here, a field of the same name in `common.job.Job` (of `RefinerUse`
for `refiner_…`), a row in `producer.language.settings.catalogue` (how it is written), and what the
renderer does. A new one has the default None or an empty mapping: left out of the document it
changes no batch's id, and left out of the Job no picture's key. Where a picture does not depend
on its value as it stands, `common.batch.normalise.job_of` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import EllipsisType, MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.fields import FieldInfo

from common.job import SDXL, DType, LongPrompts, Noise

#: Settings in one mapping: `refiner: {steps: 10}` is `refiner.steps: 10`, the field
#: `refiner_steps`.
GROUPS = frozenset({"refiner"})


@dataclass(frozen=True)
class Traits:
    """What is known of a setting besides its type.

    `default` is written into every document whose batch file does not say the setting, so that
    another default, later, changes no batch from before; such a setting is in every cell.
    `reloads` is what an axis of it makes workers load anew: such axes are rendered slowest.
    Where `words`, it is a prompt, in which {words} are filled in. Where `entries`, its entries
    may be set alone (`loras.style`), and setting it whole replaces those set below.

    A sheet's caption names the settings that all cells have alike, in the order of the fields,
    if `captioned`; its default is left unsaid in captions, or wherever settings are listed.
    """

    default: JsonValue | EllipsisType = ...
    reloads: Literal["model", "loras", ""] = ""
    words: bool = False
    entries: bool = False
    captioned: bool = True
    unsaid: Literal["captions", "everywhere", ""] = ""


#: A LoRA's scale on everything, or on the UNet and the text encoders apart.
LoraScale = float | dict[Literal["unet", "text_encoder"], float]


def _flat_name(field: str) -> str:
    group, _, inner = field.partition("_")
    return f"{group}.{inner}" if group in GROUPS else field


class CellSettings(BaseModel):
    """The settings of a cell, complete: all layers laid over each other, the defaults that depend
    on the model in their place, words filled into the prompts.

    Made from flat names (`refiner.steps`) with `model_validate`, and asked for them with
    `settings["refiner.steps"]`. What it has no field for is left out. Sizes are WIDTHxHEIGHT in
    pixels, models and LoRAs go by the names that the batch has references for, None of the
    refiner's is the base's.
    """

    model_config = ConfigDict(
        alias_generator=_flat_name, extra="ignore", frozen=True, protected_namespaces=()
    )

    prompt: Annotated[str, Traits(words=True, captioned=False)]
    prompt_2: Annotated[str | None, Traits(words=True, captioned=False)] = None
    model: Annotated[str, Traits(default=SDXL, reloads="model")]
    size: str
    original_size: str | None = None
    target_size: str | None = None
    crop: Annotated[dict[Literal["top", "left"], int], Traits(unsaid="everywhere")] = {}
    steps: Annotated[int, Traits(default=50)]
    guidance_scale: Annotated[float, Traits(default=5.0)]
    scheduler: JsonValue = None
    high_noise_frac: Annotated[float, Traits(default=1.0, unsaid="everywhere")]
    refiner_model: Annotated[str, Traits(reloads="model")]
    refiner_steps: int | None = None
    refiner_guidance_scale: float | None = None
    refiner_strength: float | None = None
    refiner_aesthetic_score: float | None = None
    refiner_negative_aesthetic_score: float | None = None
    refiner_prompt: Annotated[str | None, Traits(words=True)] = None
    refiner_negative_prompt: Annotated[str | None, Traits(words=True)] = None
    negative_prompt: Annotated[str | None, Traits(default=None, words=True)]
    negative_prompt_2: Annotated[str | None, Traits(words=True, captioned=False)] = None
    loras: Annotated[
        dict[str, LoraScale], Traits(reloads="loras", entries=True, unsaid="everywhere")
    ] = {}
    # The one default that a document may lack.
    lora_scale: Annotated[float, Traits(default=1.0, reloads="loras", unsaid="everywhere")] = 1.0
    vae: Annotated[str, Traits(reloads="model", captioned=False)]
    dtype: Annotated[DType, Traits(reloads="model", captioned=False)]
    long_prompts: Annotated[LongPrompts, Traits(default="truncate", unsaid="captions")]
    seed: Annotated[int, Traits(default="0")]
    noise: Annotated[Noise, Traits(default="cpu", unsaid="captions")]

    def __getitem__(self, name: str) -> Any:
        """The value of the setting with that flat name; None where it is not set. Raises
        KeyError for no setting."""
        return getattr(self, _FIELD_NAMES[name])


def _traits(field: FieldInfo) -> Traits:
    return next((each for each in field.metadata if isinstance(each, Traits)), Traits())


_FIELD_NAMES = {_flat_name(name): name for name in CellSettings.model_fields}

#: Every setting by its flat name, in the order of the fields.
TRAITS: Mapping[str, Traits] = MappingProxyType(
    {name: _traits(CellSettings.model_fields[field]) for name, field in _FIELD_NAMES.items()}
)

#: The settings that are whole numbers.
WHOLE_SETTINGS = frozenset(
    name
    for name, field in _FIELD_NAMES.items()
    if CellSettings.model_fields[field].annotation in (int, int | None)
)

#: The settings that are filled in with words.
PROMPTS = tuple(name for name, traits in TRAITS.items() if traits.words)

#: The settings whose entries may be set alone.
COLLECTIONS = tuple(name for name, traits in TRAITS.items() if traits.entries)


def traits_of(name: str) -> Traits:
    """Those of a setting, or of the collection that it is an entry of (`loras.style`); of
    anything else none."""
    return TRAITS.get(name) or TRAITS.get(name.partition(".")[0]) or Traits()
