"""Schedulers by the names that people know: A1111's, and diffusers' ways of spacing the steps.

A name is a sampler followed by words: `dpm++ 2m karras`, `euler trailing`. The same sampler can
be written with options instead: `{name: euler, timestep_spacing: trailing}`. Spellings that mean
the same (case, underscores, `dpmpp`) parse to equal values, so they are one picture.

Samplers as in diffusers' table of A1111's names, except `dpm++ sde`, where that table has the
deterministic form of the single-step solver and this one has its SDE form. Left out is what the
renderer cannot repeat from a seed (samplers that draw from a Brownian tree) and what needs SciPy
(`lms`, beta schedules).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from common.job.job import SchedulerUse
from common.text import closest, suggestion

Option = bool | int | float | str

_SPACING = ("timestep_spacing", "steps_offset")
_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas")
_SNR = ("rescale_betas_zero_snr",)
_SOLVER = ("solver_order",)

#: Which options each diffusers class takes; all take `prediction_type`.
_TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "EulerDiscreteScheduler": (*_SPACING, *_SIGMAS, *_SNR, "final_sigmas_type"),
        "EulerAncestralDiscreteScheduler": (*_SPACING, *_SNR),
        "HeunDiscreteScheduler": (*_SPACING, *_SIGMAS),
        "KDPM2DiscreteScheduler": (*_SPACING, *_SIGMAS),
        "KDPM2AncestralDiscreteScheduler": (*_SPACING, *_SIGMAS),
        "DPMSolverMultistepScheduler": (
            *(*_SPACING, *_SIGMAS, *_SNR, *_SOLVER),
            *("final_sigmas_type", "euler_at_final"),
        ),
        "DPMSolverSinglestepScheduler": (*_SIGMAS, *_SOLVER, "final_sigmas_type"),
        "UniPCMultistepScheduler": (*_SPACING, *_SIGMAS, *_SNR, *_SOLVER, "final_sigmas_type"),
        "DEISMultistepScheduler": (*_SPACING, *_SIGMAS, *_SOLVER),
        "DDIMScheduler": (*_SPACING, *_SNR),
        "DDPMScheduler": (*_SPACING, *_SNR),
        "PNDMScheduler": _SPACING,
        "LCMScheduler": (*_SPACING, *_SNR, "original_inference_steps"),
        "TCDScheduler": (*_SPACING, *_SNR, "original_inference_steps"),
    }
)

#: The class names that a Job may name.
SCHEDULER_TYPES = frozenset(_TAKES)


@dataclass(frozen=True)
class _Kind:
    """What an option's value may be: `says` completes "must be …", `schema` is JSON Schema."""

    says: str
    accepts: Callable[[JsonValue], bool]
    schema: Mapping[str, Any]


def _choice(*names: str) -> _Kind:
    return _Kind(
        " or ".join(names),
        lambda value: isinstance(value, str) and value in names,
        {"enum": [*names]},
    )


def _whole(first: int, last: int) -> _Kind:
    return _Kind(
        f"a whole number from {first} to {last}",
        lambda value: type(value) is int and first <= value <= last,
        {"type": "integer", "minimum": first, "maximum": last},
    )


_BOOL = _Kind("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})

_OPTIONS: Mapping[str, _Kind] = MappingProxyType(
    {
        "timestep_spacing": _choice("leading", "linspace", "trailing"),
        "steps_offset": _whole(0, 100),
        "use_karras_sigmas": _BOOL,
        "use_exponential_sigmas": _BOOL,
        "rescale_betas_zero_snr": _BOOL,
        "prediction_type": _choice("epsilon", "v_prediction"),
        "final_sigmas_type": _choice("zero", "sigma_min"),
        "euler_at_final": _BOOL,
        "solver_order": _whole(1, 3),
        "original_inference_steps": _whole(1, 1000),
    }
)

#: Words behind a sampler's name. `sgm uniform` is A1111's name for trailing.
_WORDS: Mapping[str, tuple[str, Option]] = MappingProxyType(
    {
        "karras": ("use_karras_sigmas", True),
        "exponential": ("use_exponential_sigmas", True),
        "leading": ("timestep_spacing", "leading"),
        "linspace": ("timestep_spacing", "linspace"),
        "trailing": ("timestep_spacing", "trailing"),
        "sgm uniform": ("timestep_spacing", "trailing"),
    }
)

_Sampler = tuple[str, Mapping[str, Option]]


def _dpm(order: int, algorithm: str, solver: str = "midpoint") -> _Sampler:
    options: dict[str, Option] = {"algorithm_type": algorithm, "solver_type": solver}
    return "DPMSolverMultistepScheduler", options | {"solver_order": order}


def _dpm_single(algorithm: str) -> _Sampler:
    options: dict[str, Option] = {"algorithm_type": algorithm, "solver_type": "midpoint"}
    return "DPMSolverSinglestepScheduler", options | {"solver_order": 2}


_SAMPLERS: Mapping[str, _Sampler] = MappingProxyType(
    {
        "euler": ("EulerDiscreteScheduler", {}),
        "euler a": ("EulerAncestralDiscreteScheduler", {}),
        "heun": ("HeunDiscreteScheduler", {}),
        "dpm2": ("KDPM2DiscreteScheduler", {}),
        "dpm2 a": ("KDPM2AncestralDiscreteScheduler", {}),
        "dpm++ 2m": _dpm(2, "dpmsolver++"),
        "dpm++ 2m sde": _dpm(2, "sde-dpmsolver++"),
        "dpm++ 2m sde heun": _dpm(2, "sde-dpmsolver++", "heun"),
        "dpm++ 3m": _dpm(3, "dpmsolver++"),
        "dpm++ 3m sde": _dpm(3, "sde-dpmsolver++"),
        "dpm++ 2s": _dpm_single("dpmsolver++"),
        "dpm++ sde": _dpm_single("sde-dpmsolver++"),
        "unipc": ("UniPCMultistepScheduler", {}),
        "deis": ("DEISMultistepScheduler", {}),
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
        "lcm": ("LCMScheduler", {}),
        "tcd": ("TCDScheduler", {}),
    }
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {"euler ancestral": "euler a", "dpm2 ancestral": "dpm2 a", "pndm": "plms", "uni pc": "unipc"}
)

_NEEDS_SCIPY = re.compile(r"^lms\b|\bbeta$")


def _fits(scheduler_type: str, option: str) -> bool:
    return option == "prediction_type" or option in _TAKES[scheduler_type]


def _names() -> Iterator[str]:
    for sampler, (scheduler_type, _) in _SAMPLERS.items():
        yield sampler
        for word, (option, _) in _WORDS.items():
            if _fits(scheduler_type, option):
                yield f"{sampler} {word}"


#: Every sampler, alone and with each word that it takes. Two words also go together where they set
#: different options (`euler karras trailing`).
SCHEDULER_NAMES: tuple[str, ...] = tuple(_names())

#: How a scheduler is written, as JSON Schema: any spelling passes, and the names are offered.
SCHEDULER_SCHEMA: Mapping[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "name": {"anyOf": [{"enum": [*SCHEDULER_NAMES]}, {"type": "string"}]},
                **{
                    name: {"description": f"An option of diffusers: {kind.says}", **kind.schema}
                    for name, kind in _OPTIONS.items()
                },
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        {"enum": ["default", *SCHEDULER_NAMES]},
        {"type": ["string", "null"]},
    ]
}


def parse_scheduler(written: JsonValue) -> SchedulerUse | None:
    """A scheduler as written in a batch file; None for the model's own (null or `default`).

    `written` is a name, or a mapping with `name` and options. Raises ValueError with a
    message that says what was meant, as far as that can be guessed.
    """
    if isinstance(written, Mapping):
        return _parse_mapping(written)
    if written is None:
        return None
    if not isinstance(written, str):
        raise ValueError(f"must be a name such as {SCHEDULER_NAMES[0]!r}, not {written!r}")
    return None if _plain(written) == "default" else _parse_name(written)


def _parse_mapping(written: Mapping[str, JsonValue]) -> SchedulerUse:
    name = written.get("name")
    if not isinstance(name, str):
        raise ValueError(f"needs a name, as in {{name: {SCHEDULER_NAMES[0]}, …}}")
    if _plain(name) == "default":
        raise ValueError("default is the model's own scheduler and takes no options; name one")
    use = _parse_name(name)
    options = dict(use.options)
    for option, value in written.items():
        if option != "name":
            _add(options, use.type, option, value)
    return _checked(name, use.type, options)


def _parse_name(written: str) -> SchedulerUse:
    sampler, words = _split(_plain(written))
    if sampler is None:
        raise ValueError(_unknown(written))
    scheduler_type, fixed = _SAMPLERS[sampler]
    options = dict(fixed)
    for word in words:
        option, value = _WORDS[word]
        if not _fits(scheduler_type, option):
            raise ValueError(f"{sampler!r} has no {word} form{_forms(sampler)}")
        _add(options, scheduler_type, option, value)
    return _checked(written, scheduler_type, options)


def _split(text: str) -> tuple[str | None, list[str]]:
    """`dpm++ 2m karras` → (`dpm++ 2m`, [`karras`]); (None, …) when no sampler is left over."""
    words: list[str] = []
    while text not in _SAMPLERS and text not in _ALIASES:
        word = next((word for word in _WORDS if text.endswith(f" {word}")), None)
        if word is None:
            return None, words
        words.append(word)
        text = text.removesuffix(f" {word}")
    return _ALIASES.get(text, text), words


def _add(options: dict[str, Option], scheduler_type: str, option: str, value: JsonValue) -> None:
    if option not in _OPTIONS or not _fits(scheduler_type, option):
        known = [name for name in _OPTIONS if _fits(scheduler_type, name)]
        raise ValueError(
            f"{scheduler_type} takes no option {option!r}; {suggestion(option, known)}"
        )
    kind = _OPTIONS[option]
    if not kind.accepts(value):
        raise ValueError(f"{option} must be {kind.says}, not {value!r}")
    assert isinstance(value, Option)
    if option in options and option != "solver_order" and options[option] != value:
        raise ValueError(f"{option} is given twice: {options[option]!r} and {value!r}")
    options[option] = value


def _checked(written: str, scheduler_type: str, options: dict[str, Option]) -> SchedulerUse:
    if all(options.get(name) for name in _SIGMAS):
        raise ValueError(f"{written!r} asks for two noise schedules; keep karras or exponential")
    return SchedulerUse(type=scheduler_type, options=options)


def _plain(written: str) -> str:
    """Lower case, single spaces, `dpmpp` as `dpm++`: what equal spellings have in common."""
    spaced = re.sub(r"[\s_-]+", " ", written.lower()).strip()
    return re.sub(r"^dpmpp\b", "dpm++", spaced.removeprefix("k "))


def _unknown(written: str) -> str:
    plain = _plain(written)
    if _NEEDS_SCIPY.search(plain):
        return f"{written!r} is not supported: it needs SciPy; use a karras schedule instead"
    close = closest(plain, SCHEDULER_NAMES)
    return (
        f"there is no scheduler {written!r}; {suggestion(plain, [close] if close else _SAMPLERS)}"
    )


def _forms(sampler: str) -> str:
    forms = [name for name in SCHEDULER_NAMES if _split(name)[0] == sampler]
    return f"; it has {', '.join(forms[1:])}"
