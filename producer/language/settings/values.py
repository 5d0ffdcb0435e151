"""What a setting can be: readers of single values, from the file's tree to plain JSON.

A reader turns one written value into plain JSON or raises Mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from common.batch import MAX_FILLED, names_in
from common.errors import Problem
from common.job import SCHEDULER_SCHEMA, check_prompt, is_hub_id, parse_scheduler
from common.text import closest, meant
from producer.language.settings.mistakes import Mistake, read_each
from producer.language.settings.training_sizes import TRAINING_SIZES
from producer.language.yaml import Entries, Items, Node, Scalar, shown, to_json

MAX_SEED = 2**64 - 1


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


def number(low: float, high: float, *, above: bool = False) -> Form:
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


def whole(low: int, high: int) -> Form:
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


def choice(*names: str) -> Form:
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
    elif not (text in known or (is_hub_id(text) and ".." not in text)):
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


def model(*builtins: str) -> Form:
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
        return SCALE(value, scope)
    return _group(value.values, scope, {"unet": SCALE, "text_encoder": SCALE})


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
#: Where Linux ends: characters of a path, bytes of a name in it.
MAX_PATH, MAX_PATH_PART = 4_000, 255

SCALE = number(-1000, 1000)
SCORE = number(0, 100)
STEPS = whole(1, 1000)
GUIDANCE = number(0, 100)
_CUT = whole(0, MAX_TOLD)

#: The schema of a text: `1999` and `true` are texts too where one is meant.
TEXT: Mapping[str, Any] = {"type": ["string", "number", "boolean"]}

PROMPT = Form(_prompt, TEXT)
NEGATIVE_PROMPT = Form(_negative_prompt, {"type": [*TEXT["type"], "null"]})
_PIXELS = {"type": "string", "pattern": f"^{_SIZE.pattern}$"}
TOLD_SIZE = Form(_told_size, _PIXELS)
_TRAINED = [f"{width}x{height}" for width, height in TRAINING_SIZES]
_STRENGTH = {"anyOf": [SCALE.schema, _mapping_of(unet=SCALE, text_encoder=SCALE)]}

SEED = Form(_seed, whole(0, MAX_SEED).schema)
SIZE = Form(_size, {"anyOf": [{"enum": _TRAINED}, _PIXELS]})
CROP = Form(_crop, {"anyOf": [_mapping_of(top=_CUT, left=_CUT), {"type": "null"}]})
SCHEDULER = Form(_scheduler, SCHEDULER_SCHEMA)
LORAS = Form(_loras, {"type": ["object", "null"], "additionalProperties": _STRENGTH})
WORD_TEXT = Form(_word, TEXT)


def strength_of(lora: str) -> Form:
    """One LoRA's strength, by its name in `lora_files`."""
    return Form(lambda node, scope: _lora(lora, node, scope), _STRENGTH)
