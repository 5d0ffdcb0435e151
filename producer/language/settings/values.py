"""The catalogue of settings: what each takes, and how it is written as plain JSON.

A reader turns one written value into plain JSON or raises Mistake. A new setting is a new row
of SETTINGS; everything that lists, checks or suggests settings reads that table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from pydantic import JsonValue

from common.batch import MAX_FILLED, names_in
from common.errors import Problem
from common.job import SCHEDULER_SCHEMA, builtin_models, check_prompt, parse_scheduler
from common.text import closest, meant
from producer.language.settings.training_sizes import TRAINING_SIZES
from producer.language.yaml import Entries, Items, Node, Scalar, shown, to_json

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
    """What values may refer to: the files in `lora_files` by name, the names in `words`, and
    the folder that paths are relative to."""

    loras: dict[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    base_dir: Path = Path()


Reader = Callable[[Node, Scope], JsonValue]


@dataclass(frozen=True)
class Form:
    """How a value is written: `check` reads it, `schema` tells an editor (JSON Schema, in the
    keywords that draft-07 and 2020-12 share). It refuses nothing that `check` takes."""

    check: Reader
    schema: Mapping[str, Any]

    def __call__(self, node: Node, scope: Scope) -> JsonValue:
        return self.check(node, scope)


@dataclass(frozen=True)
class Setting:
    """`read` checks a value, `about` says what it is. An axis of a `numeric` setting can be a
    range, of a `text` one a list of texts from a file, of a `file` one files. `owns` says
    whether a mapping is this setting's own value; otherwise it is a bundle of settings."""

    read: Form
    about: str
    kind: Literal["", "numeric", "text", "file"] = ""
    owns: Callable[[Entries], bool] = lambda _entries: False


def _text(node: Node, _scope: Scope) -> str:
    """A text, also where YAML would read a number or a boolean. Raises Mistake."""
    if isinstance(node, Scalar) and (node.value is not None or not node.plain):
        return node.text
    if isinstance(node, Items):
        raise Mistake(f"must be one text, not {node}", "quote it if its comma belongs to it")
    raise Mistake(f"must be a text, not {node}", 'quote it, or write "" for an empty text')


def as_plain_text(node: Node) -> str:
    """The text of a node that must be one. Raises Mistake."""
    return _text(node, Scope())


def _prompt(node: Node, scope: Scope) -> str:
    text = _text(node, scope)
    check_words(text, scope)
    if mistakes := check_prompt(text):
        raise Mistake.of([Problem("", message, _excerpt(text)) for message in mistakes])
    return text


def check_words(text: str, scope: Scope) -> None:
    """Raises Mistake for `{name}` where there is no such word."""
    for name in names_in(text):
        if name not in scope.words:
            close = closest(name, scope.words)
            mend = f"did you mean {{{close}}}?" if close else f"write words: {{{name}: […]}}, or"
            hint = mend if close else f"{mend} {{{{{name}}}}} for literal braces"
            raise Mistake(f"has {{{name}}}, which is not in words", hint)


def _word(node: Node, scope: Scope) -> str:
    text = _text(node, scope)
    check_words(text, scope)
    if len(text) > MAX_FILLED:
        raise Mistake(f"has {len(text):,} characters", f"at most {MAX_FILLED:,} are read")
    return text


def _negative_prompt(node: Node, scope: Scope) -> str | None:
    """null is "no negative prompt", which differs from an empty one."""
    return None if is_null(node) else _prompt(node, scope)


def _number(low: float, high: float, *, above: bool = False) -> Form:
    """A finite number from `low` to `high`, without `low` itself if `above`."""
    bounds = f"a number {'above' if above else 'from'} {low:g} to {high:g}"

    def read(node: Node, _scope: Scope) -> float:
        value = _numeric(node, bounds)
        inside = low < value <= high if above else low <= value <= high
        if not inside:
            hint = f"write {value / 100:g}" if high == 1 and 1 < value <= 100 else ""
            raise Mistake(f"must be {bounds}, not {node}", hint)
        return float(value) + 0.0  # -0.0 is 0.0

    least = "exclusiveMinimum" if above else "minimum"
    return Form(read, {"type": "number", least: low, "maximum": high})


def _whole(low: int, high: int) -> Form:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Form(lambda node, _scope: read_whole(node, low, high), schema)


def read_whole(node: Node, low: int, high: int) -> int:
    """A whole number from `low` to `high`. Raises Mistake."""
    bounds = f"a whole number from {low} to {high}"
    value = _numeric(node, bounds)
    if isinstance(value, float):
        hint = f"write {value:.0f}" if value.is_integer() else ""
        raise Mistake(f"must be {bounds}, not {node}", hint)
    if not low <= value <= high:
        raise Mistake(f"must be {bounds}, not {node}")
    return value


def _numeric(node: Node, bounds: str) -> int | float:
    if not isinstance(node, Scalar):
        raise Mistake(
            f"must be {bounds}, not {node}",
            "several values make an axis (seeds: …, or one under axes)",
        )
    if isinstance(node.value, str):
        raise Mistake(f"must be {bounds}, not {node}", _number_hint(node))
    if node.value is None or isinstance(node.value, bool):
        raise Mistake(f"must be {bounds}, not {node}")
    return node.value


def _number_hint(node: Scalar) -> str:
    if not node.plain and re.fullmatch(r"[-+]?[\d.]+", node.text):
        return "write it without quotes"
    if ends := re.fullmatch(r"(\d+)\s*-\s*(\d+)", node.text):
        return f"write {ends[1]}..{ends[2]}, which makes an axis"
    if re.fullmatch(r"\d+\s*\.\.+\s*\d+.*", node.text):
        return "a range makes an axis: seeds: 0..99, or one under axes"
    if re.fullmatch(r"\d+,\d+", node.text):
        return f"write {node.text.replace(',', '.')}"
    return ""


def _seed(node: Node, _scope: Scope) -> str:
    """Decimal text: JSON's numbers end at 2⁵³, seeds at 2⁶⁴ − 1."""
    if isinstance(node, Scalar) and node.text in ("random", "-1"):
        raise Mistake(f"must be a number, not {node}", "random seeds: {random: 4, from: 7}")
    return str(read_whole(node, 0, MAX_SEED))


def _choice(*names: str) -> Form:
    def read(node: Node, scope: Scope) -> str:
        text = _text(node, scope)
        if text not in names:
            raise Mistake(f"must be {' or '.join(names)}, not {node}", _did_you_mean(text, names))
        return text

    return Form(read, {"enum": [*names]})


_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*")


def _sides(node: Node) -> tuple[int, int]:
    if isinstance(node, Items):
        raise Mistake(f"must be one size, not {node}", "write it as 1024x1024")
    match = _SIZE.fullmatch(_text(node, Scope()))
    if match is None:
        raise Mistake(f"must be WIDTHxHEIGHT in pixels, not {node}", "write it as 1024x1024")
    return int(match[1]), int(match[2])


def _size(node: Node, _scope: Scope) -> str:
    width, height = sides = _sides(node)
    mended = tuple(min(8192, max(64, 8 * round(side / 8))) for side in sides)
    if sides != mended:
        raise Mistake(
            f"must have sides that are multiples of 8 from 64 to 8192, not {node}",
            f"the nearest is {mended[0]}x{mended[1]}",
        )
    return f"{width}x{height}"


def _told_size(node: Node, _scope: Scope) -> str:
    """A size that SDXL is told, which no picture has to have."""
    width, height = _sides(node)
    if not (0 < width <= MAX_TOLD and 0 < height <= MAX_TOLD):
        raise Mistake(f"must have sides from 1 to {MAX_TOLD:,} pixels, not {node}")
    return f"{width}x{height}"


def _crop(node: Node, scope: Scope) -> JsonValue:
    read = _group(mapping(node, "{top: 0, left: 256}"), scope, {"top": _CUT, "left": _CUT})
    return {name: pixels for name, pixels in read.items() if pixels}


def _scheduler(node: Node, _scope: Scope) -> JsonValue:
    """As written; `default` and null are the model's own."""
    if isinstance(node, Items) or (isinstance(node, Scalar) and len(node.text) > 100):
        raise Mistake(f"must be a name such as 'euler', not {node}")
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
    if local:
        _check_path(text)
    elif not (text in known or (builtin_models.is_hub_id(text) and ".." not in text)):
        forms = (*known, "a hub id (owner/name), a folder (./name) or a .safetensors file")
        raise Mistake(f"must be {', '.join(forms)}, not {node}", _did_you_mean(text, known))
    return text


def _check_path(text: str) -> None:
    """Raises Mistake for a path that no file system takes."""
    try:
        parts = Path(text).expanduser().parts
    except RuntimeError as error:  # ~nobody
        raise Mistake(f"{shown(text)}: {error}", "write the folder out") from None
    if len(text) > MAX_PATH or any(len(part.encode()) > MAX_PATH_PART for part in parts):
        raise Mistake(f"has {len(text):,} characters, too many for a path", "check its quotes")


def _model(*builtins: str) -> Form:
    schema = {"anyOf": [{"enum": [*builtins]}, {"type": "string"}]}
    return Form(lambda node, _scope: source(node, builtins), schema)


def _loras(node: Node, scope: Scope) -> JsonValue:
    """{name in lora_files: scale}, a scale being a number or {unet, text_encoder} numbers."""
    if isinstance(node, Items):
        names = [v.text for v in node.values if isinstance(v, Scalar) and v.text in scope.loras]
        hint = "strengths of one LoRA are an axis, loras.NAME: [0.5, 1]"
        if names:
            hint = f"write {{{', '.join(f'{name}: 1.0' for name in names)}}}"
        raise Mistake(f"must be a mapping, not {node}", hint)
    name = node.text if isinstance(node, Scalar) and node.text in scope.loras else "name"
    if isinstance(node, Scalar) and ".." in node.text:
        raise Mistake(f"must be a mapping, not {node}", f"write an axis: loras.NAME: {node.text}")
    written = mapping(node, f"{{{name}: 1.0}}")
    return read_each(written, lambda name, value: _lora(name, value, scope))


def _lora(name: str, value: Node, scope: Scope) -> JsonValue:
    if name not in scope.loras:
        hint = meant(name, scope.loras) or "write lora_files: {name: file or hub id}"
        raise Mistake("is not in lora_files", hint)
    if isinstance(value, Items):
        raise Mistake(f"must be one strength, not {value}", f"write an axis: loras.{name}: […]")
    if not isinstance(value, Entries):
        return _SCALE(value, scope)
    return _group(value.values, scope, {"unet": _SCALE, "text_encoder": _SCALE})


def _group(
    written: Mapping[str, Node], scope: Scope, readers: Mapping[str, Reader]
) -> dict[str, JsonValue]:
    """The entries of a mapping of fixed names."""

    def read(name: str, value: Node) -> JsonValue:
        if name not in readers:
            raise Mistake("is not known here", meant(name, readers))
        return readers[name](value, scope)

    return read_each(written, read)


def _mapping_of(**forms: Form) -> dict[str, Any]:
    """The schema of a mapping of fixed names, or of none of them."""
    properties = {name: form.schema for name, form in forms.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def read_each(
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
        hyphens = isinstance(node, Items) and any(isinstance(v, Entries) for v in node.values)
        hint = "leave out the hyphens" if hyphens else f"write {form}"
        raise Mistake(f"must be a mapping, not {node}", hint)
    return node.values


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _did_you_mean(text: str, known: Iterable[str]) -> str:
    close = closest(text, known)
    return f"did you mean {close!r}?" if close else ""


def _excerpt(text: str) -> str:
    return f"in {text[:60]!r}{'…' if len(text) > 60 else ''}"


MAX_TOLD = 16_384
MAX_PATH, MAX_PATH_PART = 4_000, 255
"""Where Linux ends: characters of a path, bytes of a name in it."""

_SCALE = _number(-1000, 1000)
_SCORE = _number(0, 100)
_STEPS = _whole(1, 1000)
_GUIDANCE = _number(0, 100)
_CUT = _whole(0, MAX_TOLD)

TEXT: Mapping[str, Any] = {"type": ["string", "number", "boolean"]}
"""The schema of a text: `1999` and `true` are texts too where one is meant."""

_PROMPT = Form(_prompt, TEXT)
_NEGATIVE_PROMPT = Form(_negative_prompt, {"type": [*TEXT["type"], "null"]})
_PIXELS = {"type": "string", "pattern": f"^{_SIZE.pattern}$"}
_TOLD_SIZE = Form(_told_size, _PIXELS)
_TRAINED = [f"{width}x{height}" for width, height in TRAINING_SIZES]
_STRENGTH = {"anyOf": [_SCALE.schema, _mapping_of(unet=_SCALE, text_encoder=_SCALE)]}

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "model": Setting(
            _model(builtin_models.SDXL, builtin_models.TINY),
            "The base: sdxl, tiny, a hub id (owner/name@revision), a folder or a .safetensors file",
            "file",
        ),
        "prompt": Setting(
            _PROMPT, "What to draw; (words)++ weigh more, {animal} is a word", "text"
        ),
        "prompt_2": Setting(_PROMPT, "What SDXL's second text encoder reads instead", "text"),
        "negative_prompt": Setting(
            _NEGATIVE_PROMPT, 'What not to draw; null is none, "" an empty text', "text"
        ),
        "negative_prompt_2": Setting(
            _PROMPT, "The negative prompt that the second text encoder reads instead", "text"
        ),
        "seed": Setting(
            Form(_seed, _whole(0, MAX_SEED).schema),
            "The number that the noise is drawn from, 0 to 2⁶⁴ − 1",
            "numeric",
        ),
        "noise": Setting(
            _choice("cpu", "cuda"), "Where the noise is drawn: cuda as in most notebooks"
        ),
        "steps": Setting(_STEPS, "Denoising steps, 1 to 1000", "numeric"),
        "guidance_scale": Setting(
            _GUIDANCE, "How strongly to follow the prompt (CFG), 0 to 100", "numeric"
        ),
        "high_noise_frac": Setting(
            _number(0, 1, above=True),
            "The part of the steps that the base draws before the refiner; 1 is no refiner",
            "numeric",
        ),
        "size": Setting(
            Form(_size, {"anyOf": [{"enum": _TRAINED}, _PIXELS]}),
            "WIDTHxHEIGHT of the picture in pixels, multiples of 8; 1024x1024, for tiny 128x128",
        ),
        "original_size": Setting(
            _TOLD_SIZE, "WxH that SDXL is told the original had; else the size"
        ),
        "target_size": Setting(_TOLD_SIZE, "WxH that SDXL is told to aim at; else the size"),
        "crop": Setting(
            Form(_crop, {"anyOf": [_mapping_of(top=_CUT, left=_CUT), {"type": "null"}]}),
            "Pixels that SDXL is told were cut off: {top: 0, left: 256}",
            owns=lambda entries: entries.values.keys() <= {"top", "left"},
        ),
        "scheduler": Setting(
            Form(_scheduler, SCHEDULER_SCHEMA),
            "The sampler: dpm++ 2m karras, {name: euler, …}; default is the model's own",
            owns=lambda entries: "name" in entries.values,
        ),
        "loras": Setting(
            Form(_loras, {"type": ["object", "null"], "additionalProperties": _STRENGTH}),
            "LoRAs by their names in lora_files, and their strengths: {style: 0.8}",
            "file",
            owns=lambda _entries: True,
        ),
        "lora_scale": Setting(_SCALE, "Multiplies the strength of every LoRA", "numeric"),
        "vae": Setting(
            _model(builtin_models.FP16_FIX, builtin_models.OWN_VAE),
            "The VAE: fp16-fix, own (the model's), a hub id, a folder or a file",
            "file",
        ),
        "dtype": Setting(
            _choice("fp16", "fp32", "bf16"), "The precision of the weights; fp16, for tiny fp32"
        ),
        "long_prompts": Setting(
            _choice("truncate", "chunk"), "truncate cuts prompts at 75 tokens, chunk reads all"
        ),
        "refiner.model": Setting(
            _model(builtin_models.SDXL_REFINER, builtin_models.TINY_REFINER_NAME),
            "The refiner: sdxl-refiner, a hub id, a folder or a .safetensors file",
            "file",
        ),
        "refiner.steps": Setting(
            _STEPS, "The steps of a whole run, of which it does its part", "numeric"
        ),
        "refiner.guidance_scale": Setting(
            _GUIDANCE, "How strongly the refiner follows the prompt", "numeric"
        ),
        "refiner.strength": Setting(
            _number(0, 1, above=True),
            "Repaint the base's finished picture this strongly, at high_noise_frac 1",
            "numeric",
        ),
        "refiner.aesthetic_score": Setting(
            _SCORE, "How beautiful the picture is to be; else 6", "numeric"
        ),
        "refiner.negative_aesthetic_score": Setting(
            _SCORE, "The score that the refiner moves away from; else 2.5", "numeric"
        ),
        "refiner.prompt": Setting(_PROMPT, "What the refiner reads instead of the prompt", "text"),
        "refiner.negative_prompt": Setting(
            _NEGATIVE_PROMPT, "What the refiner reads instead of the negative prompt", "text"
        ),
    }
)
"""By their flat names; `refiner: {steps: 10}` is another spelling of `refiner.steps: 10`."""

WORD = Setting(Form(_word, TEXT), "What this word, written {word} in a prompt, stands for", "text")


def find_setting(name: str) -> Setting | None:
    """The setting of that flat name: one of SETTINGS, one LoRA's strength, or a word."""
    group, _, inner = name.partition(".")
    if group == "loras" and inner:
        return Setting(
            Form(lambda node, scope: _lora(inner, node, scope), _STRENGTH),
            "The strength of this LoRA: 0.8, or {unet: 1, text_encoder: 0}",
            "numeric",
            owns=lambda entries: entries.values.keys() <= {"unet", "text_encoder"},
        )
    return WORD if group == "words" and inner else SETTINGS.get(name)


DEFAULTS: Mapping[str, JsonValue] = MappingProxyType(
    {
        "model": builtin_models.SDXL,
        "negative_prompt": None,
        "seed": "0",
        "noise": "cpu",
        "steps": 50,
        "guidance_scale": 5.0,
        "high_noise_frac": 1.0,
        "lora_scale": 1.0,
        "long_prompts": "truncate",
    }
)
"""The defaults that depend on nothing; size, dtype, vae and refiner depend on the model."""


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
