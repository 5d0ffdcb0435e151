"""What a setting can be: readers of single values, from the file's tree to plain JSON.

A reader turns one written value into plain JSON or raises Mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from common.batch import MAX_FILLED, names_in
from common.job import SCHEDULER_SCHEMA, check_prompt, is_hub_id, parse_scheduler
from producer.language.mistakes import Finding, Mistake, read_each
from producer.language.settings.numbers import Bounds, read_number
from producer.language.settings.training_sizes import TRAINING_SIZES
from producer.language.yaml import Entries, Items, Node, Scalar, is_null, to_json

MAX_SEED = 2**64 - 1
_SEEDS = Bounds(0, MAX_SEED, whole=True)


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
    raise Mistake("not-one-text" if isinstance(node, Items) else "not-text", node)


def as_plain_text(node: Node) -> str:
    """The text of a node that must be one. Raises Mistake."""
    return _text(node, Scope())


def _prompt(node: Node, scope: Scope) -> str:
    text = _text(node, scope)
    check_words(text, scope)
    if complaints := check_prompt(text):
        raise Mistake.combined(
            Finding("prompt-syntax", {"says": says, "text": text}) for says in complaints
        )
    return text


def check_words(text: str, scope: Scope) -> None:
    """Raises Mistake for `{name}` where there is no such word."""
    for name in names_in(text):
        if name not in scope.words:
            raise Mistake("no-such-word", name=name, known=scope.words)


def _word(node: Node, scope: Scope) -> str:
    text = _text(node, scope)
    check_words(text, scope)
    if len(text) > MAX_FILLED:
        raise Mistake("text-too-long", length=len(text), most=MAX_FILLED)
    return text


def _negative_prompt(node: Node, scope: Scope) -> str | None:
    """null is "no negative prompt", which differs from an empty one."""
    return None if is_null(node) else _prompt(node, scope)


def number(low: float, high: float, *, above: bool = False) -> Form:
    """A finite number from `low` to `high`, without `low` itself if `above`."""
    bounds = Bounds(low, high, above=above)
    least = "exclusiveMinimum" if above else "minimum"
    return Form(
        lambda node, _scope: float(read_number(node, bounds)) + 0.0,  # -0.0 is 0.0
        {"type": "number", least: low, "maximum": high},
    )


def whole(low: int, high: int) -> Form:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    bounds = Bounds(low, high, whole=True)
    return Form(lambda node, _scope: int(read_number(node, bounds)), schema)


def _seed(node: Node, _scope: Scope) -> str:
    """Decimal text: JSON's numbers end at 2⁵³, seeds at 2⁶⁴ − 1."""
    if isinstance(node, Scalar) and node.text in ("random", "-1"):
        raise Mistake("random-seed", node)
    return str(read_number(node, _SEEDS))


def choice(*names: str) -> Form:
    def read(node: Node, scope: Scope) -> str:
        text = _text(node, scope)
        if text not in names:
            raise Mistake("not-a-choice", node, known=names)
        return text

    return Form(read, {"enum": [*names]})


_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*")


def _sides(node: Node) -> tuple[int, int]:
    """(width, height) in pixels."""
    if isinstance(node, Items):
        raise Mistake("several-sizes", node)
    match = _SIZE.fullmatch(_text(node, Scope()))
    if match is None:
        raise Mistake("not-a-size", node)
    return int(match[1]), int(match[2])


def _size(node: Node, _scope: Scope) -> str:
    width, height = sides = _sides(node)
    if any(side % 8 or not 64 <= side <= 8192 for side in sides):
        raise Mistake("size-off-the-grid", node, sides=sides)
    return f"{width}x{height}"


def _told_size(node: Node, _scope: Scope) -> str:
    """A size that SDXL is told, which no picture has to have."""
    width, height = _sides(node)
    if not (0 < width <= MAX_TOLD and 0 < height <= MAX_TOLD):
        raise Mistake("told-size-out-of-bounds", node, most=MAX_TOLD)
    return f"{width}x{height}"


def _crop(node: Node, scope: Scope) -> JsonValue:
    sides = _group(mapping(node, "crop"), scope, {"top": _CUT, "left": _CUT})
    return {name: pixels for name, pixels in sides.items() if pixels}


def _scheduler(node: Node, _scope: Scope) -> JsonValue:
    """As written; `default` and null are the model's own."""
    if isinstance(node, Items) or (isinstance(node, Scalar) and len(node.text) > 100):
        raise Mistake("not-a-scheduler", node)
    written = cast(JsonValue, to_json(node))
    try:
        return written if parse_scheduler(written) else None
    except ValueError as error:
        raise Mistake("scheduler", says=str(error)) from None


_PICKLES = re.compile(r"\.(ckpt|pt|pth|bin|pkl)$", re.IGNORECASE)


def source(node: Node, known: tuple[str, ...] = ()) -> str:
    """A file, folder or hub id, or one of `known`, as written. Raises Mistake."""
    text = _text(node, Scope())
    if _PICKLES.search(text):
        raise Mistake("pickle", text=text)
    local = re.match(r"[./~]|[A-Za-z]:\\", text) or text.endswith(".safetensors")
    if local:
        _check_path(text)
    elif not (text in known or (is_hub_id(text) and ".." not in text)):
        raise Mistake("not-a-source", node, known=known)
    return text


def _check_path(text: str) -> None:
    """Raises Mistake for a path that no file system takes."""
    parts = expanded(text).parts
    if len(text) > MAX_PATH or any(len(part.encode()) > MAX_PATH_PART for part in parts):
        raise Mistake("path-too-long", length=len(text))


def expanded(text: str) -> Path:
    """The path of a text, with the home directory that its `~` stands for. Raises Mistake."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise Mistake("no-such-home", text=text, says=str(error)) from None


def model(*builtins: str) -> Form:
    schema = {"anyOf": [{"enum": [*builtins]}, {"type": "string"}]}
    return Form(lambda node, _scope: source(node, builtins), schema)


def _loras(node: Node, scope: Scope) -> JsonValue:
    """{name in lora_files: scale}, a scale being a number or {unet, text_encoder} numbers."""
    if is_null(node):
        return {}
    if not isinstance(node, Entries):
        raise Mistake("loras-not-a-mapping", node, known=[*scope.loras])
    return {**read_each(node.values, lambda name, value: _lora(name, value, scope))}


def _lora(name: str, value: Node, scope: Scope) -> JsonValue:
    if name not in scope.loras:
        raise Mistake("no-such-lora", name=name, known=[*scope.loras])
    if isinstance(value, Items):
        raise Mistake("several-strengths", value, name=name)
    if not isinstance(value, Entries):
        return SCALE(value, scope)
    return _group(value.values, scope, {"unet": SCALE, "text_encoder": SCALE})


def _group(
    written: Mapping[str, Node], scope: Scope, readers: Mapping[str, Reader]
) -> dict[str, JsonValue]:
    """The entries of a mapping of fixed names."""

    def read(name: str, value: Node) -> JsonValue:
        if name not in readers:
            raise Mistake("no-such-entry", name=name, known=readers)
        return readers[name](value, scope)

    return read_each(written, read)


def _mapping_of(**forms: Form) -> dict[str, Any]:
    """The schema of a mapping of fixed names, or of none of them."""
    properties = {name: form.schema for name, form in forms.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def entries(node: Node, of: str) -> Entries:
    """A mapping; null is an empty one. `of` says which mapping (`mends.forms` shows how each is
    written). Raises Mistake."""
    if is_null(node):
        return Entries({})
    if not isinstance(node, Entries):
        raise Mistake("not-a-mapping", node, of=of)
    return node


def mapping(node: Node, of: str) -> Mapping[str, Node]:
    """What `entries` has, by name. Raises Mistake."""
    return entries(node, of).values


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
