"""Batch files for property tests: any that the language takes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import yaml
from hypothesis import assume
from hypothesis import strategies as st

from producer.language.axes.generators import KEYS

words = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20)
names = words.filter(lambda text: text.strip() and text not in (*KEYS, "<<"))
prompts = st.text(
    st.characters(exclude_characters='(){}"\\', exclude_categories=("C",)), min_size=1, max_size=30
).filter(str.strip)
templates = prompts | st.tuples(prompts, prompts).map("{animal}".join)
hundred = st.floats(0, 100)
sizes = st.builds("{}x{}".format, *[st.integers(8, 1024).map(lambda n: 8 * n)] * 2)
part = st.floats(0, 1, exclude_min=True)
scales = st.floats(-1000, 1000) | st.fixed_dictionaries(
    {}, optional={"unet": st.floats(-9, 9), "text_encoder": st.floats(-9, 9)}
)

#: What each setting takes, by its flat name.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["sdxl", "tiny", "me/mine"]),
    "prompt": templates,
    "prompt_2": templates,
    "negative_prompt": st.none() | st.just("") | templates,
    "negative_prompt_2": prompts,
    "seed": st.integers(0, 2**64 - 1),
    "noise": st.sampled_from(["cpu", "cuda"]),
    "steps": st.integers(2, 1000),
    "guidance_scale": hundred | st.integers(0, 100),
    "high_noise_frac": part,
    "size": sizes,
    "original_size": sizes,
    "target_size": sizes,
    "crop": st.fixed_dictionaries(
        {}, optional={"top": st.integers(0, 9), "left": st.integers(0, 9)}
    ),
    "scheduler": st.sampled_from([None, "euler", {"name": "ddim", "timestep_spacing": "trailing"}]),
    "loras": st.dictionaries(st.sampled_from(["x", "y"]), scales),
    "loras.x": scales,
    "lora_scale": st.floats(-1000, 1000),
    "vae": st.sampled_from(["own", "fp16-fix", "me/vae"]),
    "dtype": st.sampled_from(["fp16", "bf16", "fp32"]),
    "long_prompts": st.sampled_from(["truncate", "chunk"]),
    "refiner.model": st.sampled_from(["sdxl-refiner", "me/r"]),
    "refiner.steps": st.integers(2, 1000),
    "refiner.guidance_scale": hundred,
    "refiner.strength": st.floats(0.5, 1),  # of 2 steps it is one
    "refiner.aesthetic_score": hundred,
    "refiner.negative_aesthetic_score": hundred,
    "refiner.prompt": templates,
    "refiner.negative_prompt": st.none() | templates,
}

#: Where ranges of a setting may lie.
BOUNDS = {
    "seed": (0, 2**64 - 1), "steps": (2, 1000), "refiner.steps": (2, 1000),
    "guidance_scale": (0, 100), "refiner.guidance_scale": (0, 100), "high_noise_frac": (1, 1),
    "refiner.strength": (1, 1), "refiner.aesthetic_score": (0, 100), "loras.x": (-9, 9),
    "lora_scale": (-9, 9), "refiner.negative_aesthetic_score": (0, 100),
}  # fmt: skip

WHOLE = {"seed", "steps", "refiner.steps"}


@st.composite
def ranges(draw: st.DrawFn, name: str) -> str:
    """A range of up to 40 values, with decimals where the setting takes them."""
    low, high = BOUNDS[name]
    places = 0 if name in WHOLE else draw(st.integers(0, 3))
    unit = Decimal(1).scaleb(-places)
    first = draw(st.integers(low * 10**places, high * 10**places))
    step = draw(st.integers(1, 500))
    last = min(first + draw(st.integers(0, 39)) * step, high * 10**places)
    zeros = draw(st.sampled_from(["", "0"])) if places else ""
    return f"{first * unit:f}{zeros}..{last * unit:f} by {step * unit:f}{zeros}"


@st.composite
def bundles(draw: st.DrawFn, of: list[str]) -> dict[str, Any]:
    """Some of the settings, those of the refiner dotted or in one mapping."""
    bundle = draw(st.fixed_dictionaries({}, optional={name: VALUES[name] for name in of}))
    if "x" in bundle.get("loras", {}):
        bundle.pop("loras.x", None)
    if draw(st.booleans()):
        inner = [name for name in bundle if name.startswith("refiner.")]
        nested = {name.removeprefix("refiner."): bundle.pop(name) for name in inner}
        bundle |= {"refiner": nested} if nested else {}
    return bundle


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Batch files within the language: no two axes set one setting, but prompts and variants."""
    swept = draw(st.sets(st.sampled_from(sorted(VALUES.keys() - {"prompt"})), max_size=3))
    swept -= {"loras.x"} if "loras" in swept else set()
    taken = swept | ({"loras", "loras.x"} if swept & {"loras", "loras.x"} else set()) | {"prompt"}
    free = bundles([name for name in VALUES if name not in taken])
    texts = draw(st.dictionaries(names, st.tuples(templates, free), min_size=1, max_size=4))
    assume("prompt" not in texts)
    document: dict[str, Any] = {
        "lora_files": {"x": "me/x", "y": "me/y"},
        "words": {"animal": draw(_listed(prompts))},
        "settings": draw(free),
        "prompts": {name: bundle | {"prompt": text} for name, (text, bundle) in texts.items()},
        "axes": {name: draw(axes_of(name)) for name in sorted(swept - {"seed"})},
        "variants": draw(st.dictionaries(names, free, min_size=1, max_size=3)),
    }
    if "seed" in swept:
        document["seeds"] = draw(axes_of("seed") | randoms)
    for key in draw(st.sets(st.sampled_from(["exclude", "only"]))):
        document[key] = [draw(conditions(document))]
    order = draw(st.permutations(list(document)))
    return {key: document[key] for key in order}


randoms = st.fixed_dictionaries(
    {"random": st.integers(1, 9)},
    optional={"from": st.integers(0, 2**64 - 1), "per": st.just("image")},
)


def axes_of(name: str) -> st.SearchStrategy[Any]:
    named = st.dictionaries(names, VALUES[name], min_size=1, max_size=4)
    return named | ranges(name) if name in BOUNDS else named


def _listed(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    unique = st.lists(of, min_size=1, max_size=3, unique=True)
    return unique | st.dictionaries(names, of, min_size=1, max_size=3)


@st.composite
def conditions(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """One condition on a prompt, and where there is a range on that too."""
    prompt = draw(st.sampled_from(sorted(document["prompts"])))
    forms = [prompt, [prompt]]
    if len(document["prompts"]) > 1 and prompt == prompt.strip() and prompt[0] != "=":
        forms.append(f"!{prompt}")  # "!=x" denies x, not =x
    condition = {"prompt": draw(st.sampled_from(forms))}
    for name, axis in document["axes"].items():
        if isinstance(axis, str):
            first = axis.partition("..")[0]
            condition[name] = draw(st.sampled_from([first, f">= {first}", f"<= {first}"]))
    return condition


def dumped(document: Any) -> str:
    return str(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
