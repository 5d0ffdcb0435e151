"""The catalogue of settings: what each takes, and how it is written as plain JSON.

A reader turns one written value into plain JSON or raises Mistake. A new setting is a new row
of SETTINGS; everything that lists, checks or suggests settings reads that table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from pydantic import JsonValue

from common import models
from common.errors import Problem
from common.prompt_syntax import check_prompt
from common.schedulers import parse_scheduler
from common.spec_yaml import Entries, Items, Node, Scalar, to_json
from common.suggest import closest, meant

MAX_SEED = 2**64 - 1
MAX_PROBLEMS = 100
"""Nobody reads more at once; a file with more is not read to its end."""


class Mistake(Exception):
    """One or several problems, with paths relative to where the value stands."""

    def __init__(self, message: str, hint: str = "", *, path: str = "") -> None:
        super().__init__(message)
        self.problems = [Problem(path, message, hint)]

    @classmethod
    def of(cls, problems: list[Problem]) -> Mistake:
        mistake = cls(problems[0].message)
        mistake.problems = problems
        return mistake


class EnoughMistakes(Exception):
    """There are MAX_PROBLEMS."""


@contextmanager
def noting(problems: list[Problem], path: str) -> Iterator[None]:
    """Record a Mistake raised inside, with `path` in front, and go on behind the block.

    Raises EnoughMistakes.
    """
    try:
        yield
    except Mistake as mistake:
        for problem in mistake.problems:
            place = ".".join(filter(None, (path, problem.path)))
            problems.append(Problem(place, problem.message, problem.hint))
        if len(problems) >= MAX_PROBLEMS:
            raise EnoughMistakes from None


@dataclass(frozen=True)
class Scope:
    """What a value may refer to: the names in `lora_files`."""

    loras: frozenset[str] = frozenset()


Reader = Callable[[Node, Scope], JsonValue]


@dataclass(frozen=True)
class Setting:
    """`read` checks a value. `whole` settings are integers, so their axes can be ranges. `owns`
    says whether a mapping is this setting's own value; otherwise it is a bundle of settings."""

    read: Reader
    whole: bool = False
    owns: Callable[[Entries], bool] = lambda _entries: False


def _text(node: Node, _scope: Scope) -> str:
    """A text, also where YAML would read a number or a boolean. Raises Mistake."""
    if isinstance(node, Scalar) and (node.value is not None or not node.plain):
        return node.text
    if isinstance(node, Items):
        raise Mistake(f"must be one text, not {node}", "quote it if its comma belongs to it")
    raise Mistake(f"must be a text, not {node}", 'quote it, or write "" for an empty text')


def _prompt(node: Node, scope: Scope) -> str:
    text = _text(node, scope)
    if mistakes := check_prompt(text):
        raise Mistake.of([Problem("", message, _excerpt(text)) for message in mistakes])
    return text


def _negative_prompt(node: Node, scope: Scope) -> str | None:
    """null is "no negative prompt", which differs from an empty one."""
    return None if is_null(node) else _prompt(node, scope)


def _number(low: float, high: float, *, above: bool = False) -> Reader:
    """A finite number from `low` to `high`, without `low` itself if `above`."""
    bounds = f"a number {'above' if above else 'from'} {low:g} to {high:g}"
    if math.isinf(high):
        bounds = "a number"

    def read(node: Node, _scope: Scope) -> float:
        value = _numeric(node, bounds)
        inside = low < value <= high if above else low <= value <= high
        if not inside or math.isinf(value):
            raise Mistake(f"must be {bounds}, not {node}")
        return float(value) + 0.0  # -0.0 is 0.0

    return read


def _whole(low: int, high: int) -> Callable[[Node, Scope], int]:
    bounds = f"a whole number from {low} to {high}"

    def read(node: Node, _scope: Scope) -> int:
        value = _numeric(node, bounds)
        if isinstance(value, float):
            hint = f"write {value:.0f}" if value.is_integer() else ""
            raise Mistake(f"must be {bounds}, not {node}", hint)
        if not low <= value <= high:
            raise Mistake(f"must be {bounds}, not {node}")
        return value

    return read


def _numeric(node: Node, bounds: str) -> int | float:
    if not isinstance(node, Scalar):
        raise Mistake(f"must be {bounds}, not {node}", "several values make an axis under axes")
    if isinstance(node.value, str):
        raise Mistake(f"must be {bounds}, not {node}", _number_hint(node))
    if node.value is None or isinstance(node.value, bool):
        raise Mistake(f"must be {bounds}, not {node}")
    return node.value


def _number_hint(node: Scalar) -> str:
    if not node.plain and re.fullmatch(r"[-+]?[\d.]+", node.text):
        return "write it without quotes"
    if re.fullmatch(r"\d+\s*(-|\.\.+)\s*\d+.*", node.text):
        return "a range is a whole axis: seeds: 0..99"
    if re.fullmatch(r"\d+,\d+", node.text):
        return f"write {node.text.replace(',', '.')}"
    return ""


def _seed(node: Node, scope: Scope) -> str:
    """Decimal text: JSON's numbers end at 2⁵³, seeds at 2⁶⁴ − 1."""
    return str(_whole(0, MAX_SEED)(node, scope))


def _choice(*names: str) -> Reader:
    def read(node: Node, scope: Scope) -> str:
        text = _text(node, scope)
        if text not in names:
            raise Mistake(f"must be {' or '.join(names)}, not {node}", _did_you_mean(text, names))
        return text

    return read


_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*")


def _size(node: Node, scope: Scope) -> str:
    if isinstance(node, Items):
        raise Mistake(f"must be one size, not {node}", "write it as 1024x1024")
    match = _SIZE.fullmatch(_text(node, scope))
    if match is None:
        raise Mistake(f"must be WIDTHxHEIGHT in pixels, not {node}", "write it as 1024x1024")
    sides = [int(side) for side in match.groups()]
    mended = [min(8192, max(64, 8 * round(side / 8))) for side in sides]
    if sides != mended:
        raise Mistake(
            f"must have sides that are multiples of 8 from 64 to 8192, not {node}",
            f"the nearest is {mended[0]}x{mended[1]}",
        )
    return f"{sides[0]}x{sides[1]}"


def _scheduler(node: Node, _scope: Scope) -> JsonValue:
    """As written; `default` and null are the model's own."""
    written = cast(JsonValue, to_json(node))
    try:
        return written if parse_scheduler(written) else None
    except ValueError as error:
        raise Mistake(str(error)) from None


_PICKLES = re.compile(r"\.(ckpt|pt|pth|bin|pkl)$", re.IGNORECASE)


def source(node: Node, known: tuple[str, ...] = ()) -> str:
    """A file, folder or hub id, or one of `known`, as written. Raises Mistake."""
    text = _text(node, Scope())
    if _PICKLES.search(text):
        raise Mistake(f"{text!r} is a pickle, which can run code", "convert it to .safetensors")
    local = re.match(r"[./~]|[A-Za-z]:\\", text) or text.endswith(".safetensors")
    if not (text in known or local or models.is_hub_id(text)):
        forms = (*known, "a hub id (owner/name), a folder (./name) or a .safetensors file")
        raise Mistake(f"must be {', '.join(forms)}, not {node}", _did_you_mean(text, known))
    return text


def _model(*builtins: str) -> Reader:
    return lambda node, _scope: source(node, builtins)


def _loras(node: Node, scope: Scope) -> JsonValue:
    """{name in lora_files: scale}, a scale being a number or {unet, text_encoder} numbers."""
    written = mapping(node, "{name: 1.0}")
    return _each(written, lambda name, value: _lora(name, value, scope))


def _lora(name: str, value: Node, scope: Scope) -> JsonValue:
    if name not in scope.loras:
        hint = meant(name, scope.loras) or "write lora_files: {name: file or hub id}"
        raise Mistake("is not in lora_files", hint)
    if not isinstance(value, Entries):
        return _SCALE(value, scope)
    return _group(value.values, scope, {"unet": _SCALE, "text_encoder": _SCALE})


def _refiner(node: Node, scope: Scope) -> JsonValue:
    return _group(mapping(node, "{aesthetic_score: 6}"), scope, REFINER_SETTINGS)


def _group(
    written: Mapping[str, Node], scope: Scope, readers: Mapping[str, Reader]
) -> dict[str, JsonValue]:
    def read(name: str, value: Node) -> JsonValue:
        if name not in readers:
            raise Mistake("is not known here", meant(name, readers))
        return readers[name](value, scope)

    return _each(written, read)


def _each(
    written: Mapping[str, Node], read: Callable[[str, Node], JsonValue]
) -> dict[str, JsonValue]:
    """Every entry read; raises one Mistake with the problems of all."""
    problems: list[Problem] = []
    values: dict[str, JsonValue] = {}
    with suppress(EnoughMistakes):
        for name, value in written.items():
            with noting(problems, name):
                values[name] = read(name, value)
    if problems:
        raise Mistake.of(problems)
    return values


def mapping(node: Node, form: str) -> Mapping[str, Node]:
    """The entries of a mapping; null has none. Raises Mistake, showing the `form` to write."""
    if is_null(node):
        return {}
    if not isinstance(node, Entries):
        raise Mistake(f"must be a mapping, not {node}", f"write {form}")
    return node.values


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _did_you_mean(text: str, known: Iterable[str]) -> str:
    close = closest(text, known)
    return f"did you mean {close!r}?" if close else ""


def _excerpt(text: str) -> str:
    return f"in {text[:60]!r}{'…' if len(text) > 60 else ''}"


_SCALE = _number(-math.inf, math.inf)
_SCORE = _number(0, 100)

REFINER_SETTINGS: Mapping[str, Reader] = MappingProxyType(
    {
        "model": _model(models.SDXL_REFINER, models.TINY_REFINER_NAME),
        "aesthetic_score": _SCORE,
        "negative_aesthetic_score": _SCORE,
    }
)

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "model": Setting(_model(models.SDXL, models.TINY)),
        "prompt": Setting(_prompt),
        "negative_prompt": Setting(_negative_prompt),
        "seed": Setting(_seed, whole=True),
        "noise": Setting(_choice("cpu", "cuda")),
        "steps": Setting(_whole(1, 1000), whole=True),
        "guidance_scale": Setting(_number(0, 100)),
        "high_noise_frac": Setting(_number(0, 1, above=True)),
        "size": Setting(_size),
        "scheduler": Setting(_scheduler, owns=lambda entries: "name" in entries.values),
        "loras": Setting(_loras, owns=lambda _entries: True),
        "lora_scale": Setting(_SCALE),
        "vae": Setting(_model(models.FP16_FIX, models.OWN_VAE)),
        "dtype": Setting(_choice("fp16", "fp32", "bf16")),
        "long_prompts": Setting(_choice("truncate", "chunk")),
        "refiner": Setting(_refiner, owns=lambda _entries: True),
    }
)

TEXT_SETTINGS = frozenset({"prompt", "negative_prompt"})

DEFAULTS: Mapping[str, JsonValue] = MappingProxyType(
    {
        "model": models.SDXL,
        "negative_prompt": None,
        "seed": "0",
        "noise": "cpu",
        "steps": 50,
        "guidance_scale": 5.0,
        "high_noise_frac": 1.0,
        "size": "1024x1024",
        "lora_scale": 1.0,
        "long_prompts": "truncate",
    }
)
"""The defaults that depend on nothing; those of dtype, vae and refiner depend on the model."""


def as_text(value: JsonValue) -> str:
    """A setting's value as a label: `13`, `none`, `empty`, `wrong 0.5`, `euler trailing`."""
    if value is None or value == {}:
        return "none"
    if value == "":
        return "empty"
    if isinstance(value, dict):
        return " + ".join(_named(name, inner) for name, inner in value.items())
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _named(name: str, value: JsonValue) -> str:
    if name == "name":
        return as_text(value)
    if isinstance(value, dict):
        inner = " ".join(f"{part} {as_text(number)}" for part, number in value.items())
        return f"{name} ({inner})"
    return f"{name} {as_text(value)}"
