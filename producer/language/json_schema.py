"""The batch file's language as a JSON Schema, for editors: they complete, explain and underline.

It is made of the tables that the loader reads by, and the loader stays the judge: the schema
refuses nothing that the language takes, and lets pass what only the whole file can tell (a word
in a prompt, a name in `lora_files`, a range that runs backwards). Its keywords mean the same in
draft-07 and 2020-12 (https://json-schema.org/specification); nothing stands beside a `$ref`,
since draft-07 would not see it. Of several forms that a value comes equally near to, editors
complain with the first, so the one that says most stands first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from common.batch import GROUPS, LORA
from producer.language import reader
from producer.language.axes import EMPHASIS, MAX_RANDOM, RANGE_PATTERN, TOP_AXES, generators
from producer.language.settings import (
    DEFAULTS,
    MAX_SEED,
    SETTINGS,
    TEXT,
    WORD,
    Setting,
    find_setting,
)
from producer.language.yaml import NULL, Entries

Schema = dict[str, Any]

REGENERATE = "gridfarm schema > docs/batch.schema.json"

OWN_AXIS = "An axis of your own; its values are bundles of settings: name: {setting: value}"
MATCHED = 'A label, a value, several in a list, 4..6, "> 9", or "!lcm": anything but that'

_ONE_LORA = f"{LORA}name"
_LORA_NAMES = f"^{LORA.replace('.', '[.]')}"
_NULL: Schema = {"type": "null"}
_RESERVED: Schema = dict.fromkeys(generators.KEYS, False)


def batch_schema() -> Schema:
    """The schema of a batch file; definitions and properties are in the order of the tables."""
    properties = {
        "name": {"type": [*TEXT["type"], "null"]},
        "model": _any(_ref("value.model"), _NULL),
        "settings": _any(_ref("bundle"), _NULL),
        "lora_files": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
        "words": {"type": ["object", "null"], "additionalProperties": _ref("axis.word")},
        **{key: _any(_ref(f"axis.{axis}"), _NULL) for key, axis in TOP_AXES.items()},
        "axes": _axes(),
        "exclude": {"type": ["array", "null"], "items": _ref("condition")},
        "only": {"type": ["array", "null"], "items": _ref("condition")},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"The language of gridfarm's batch files; generated: {REGENERATE}",
        "type": "object",
        "properties": {key: _about(says, properties[key]) for key, says in reader.KEYS.items()},
        "additionalProperties": False,
        "$defs": dict(_definitions()),
    }


def as_text() -> str:
    """The schema as the file that is published."""
    return f"{_printed(batch_schema(), '')}\n"


def _printed(node: Any, indent: str) -> str:
    """JSON in which whatever fits into a line is one."""
    line = json.dumps(node, ensure_ascii=False)
    if len(indent + line) <= 100 or not isinstance(node, dict | list):
        return line
    inner = f"{indent}  "
    if isinstance(node, list):
        parts, brackets = [_printed(value, inner) for value in node], "[]"
    else:
        parts = [f"{json.dumps(name)}: {_printed(value, inner)}" for name, value in node.items()]
        brackets = "{}"
    return f",\n{inner}".join(parts).join((f"{brackets[0]}\n{inner}", f"\n{indent}{brackets[1]}"))


def _definitions() -> Iterator[tuple[str, Schema]]:
    for name, setting in _settings():
        yield f"value.{name}", _about(setting.about, {**setting.read.schema, **_default(name)})
    for group in sorted(GROUPS):
        yield f"value.{group}", _group(group)
    yield "bundle", _bundle({"additionalProperties": False}, {})
    yield "bundle.word", _bundle({"additionalProperties": TEXT}, _RESERVED)
    for key in generators.KEYS:
        yield f"generator.{key}", _generator(key)
    for name, setting in _settings():
        yield f"axis.{name}", _setting_axis(name, setting)
    for group in sorted(GROUPS):
        yield f"axis.{group}", _axis(_group_says(group), [_ref(f"value.{group}")], ["file"])
    words = [_ref("bundle.word"), dict(TEXT)]
    yield "axis.word", _axis(WORD.about, words, _generators("words.name", WORD))
    yield "axis.variant", _axis(OWN_AXIS, [_ref("bundle"), _NULL], ["file"])
    yield "condition", _condition()
    yield "matched", _about(MATCHED, _matched())


def _settings() -> Iterator[tuple[str, Setting]]:
    """Every setting by its flat name, and one LoRA's strength for those of all."""
    yield from SETTINGS.items()
    if strength := find_setting(_ONE_LORA):
        yield _ONE_LORA, strength


def _default(name: str) -> Schema:
    """As it is written in a file, where a seed is a number."""
    if name not in DEFAULTS:
        return {}
    default = DEFAULTS[name]
    return {"default": int(str(default)) if name == "seed" else default}


def _group(group: str) -> Schema:
    inner = {
        name.removeprefix(f"{group}."): _ref(f"value.{name}")
        for name in SETTINGS
        if name.startswith(f"{group}.")
    }
    mapping = {"type": ["object", "null"], "properties": inner, "additionalProperties": False}
    return _about(_group_says(group), mapping)


def _group_says(group: str) -> str:
    return f"Settings of the {group}: {{steps: 10}} is {group}.steps: 10"


def _bundle(others: Schema, reserved: Schema) -> Schema:
    names = [*SETTINGS, *sorted(GROUPS)]
    return {
        "type": "object",
        "properties": {**reserved, **{name: _ref(f"value.{name}") for name in names}},
        "patternProperties": {_LORA_NAMES: _ref(f"value.{_ONE_LORA}")},
        **others,
    }


def _generator(key: str) -> Schema:
    whole = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
    takes: Schema = {
        "file": TEXT,
        "files": TEXT,
        "emphasise": _list_of(dict(TEXT), _ref("generator.file")),
        "with": {"type": ["string", "number"], "pattern": f"^({EMPHASIS.pattern})$"},
        "random": whole | {"minimum": 1, "maximum": MAX_RANDOM},
        "from": whole,
        "per": {"enum": ["image"]},
    }
    keys = generators.KEYS[key]
    return {
        "title": f"{{{key}: …}}",
        "type": "object",
        "properties": {name: _about(says, takes[name]) for name, says in keys.items()},
        "required": [key, "with"] if key == "emphasise" else [key],
        "additionalProperties": False,
    }


def _generators(name: str, setting: Setting) -> list[str]:
    """The generators that make values of a setting."""
    makes = {
        "file": True,
        "files": setting.kind == "file",
        "emphasise": setting.kind == "text",
        "random": name == "seed",
    }
    return [key for key in generators.KEYS if makes[key]]


def _setting_axis(name: str, setting: Setting) -> Schema:
    value = _ref(f"value.{name}")
    is_never_a_bundle = setting.owns(Entries({"prompt": NULL}))
    bundles = [] if is_never_a_bundle else [_ref("bundle")]
    # Hardly any text is wrong, so what is wrong is the bundle.
    values = [*bundles, value] if setting.kind == "text" else [value, *bundles]
    short = [value] if name in ("prompt", "seed") else []
    ranges = [{"type": "string", "pattern": RANGE_PATTERN}] if setting.kind == "numeric" else []
    return _axis(setting.about, values, _generators(name, setting), ranges, short)


def _axis(
    says: str,
    values: list[Schema],
    generators: list[str],
    ranges: Sequence[Schema] = (),
    short: Sequence[Schema] = (),
) -> Schema:
    """What makes a whole list, a list, or `name: value`; `short` is one value alone."""
    makers = [*(_ref(f"generator.{key}") for key in generators), *ranges]
    named = {
        "type": "object",
        "minProperties": 1,
        "properties": _RESERVED,
        "additionalProperties": _any(*values),
    }
    return _about(says, _any(*makers, _list_of(*values, *makers), named, *short))


def _axes() -> Schema:
    """Under `axes`; the keys at the top are no names there."""
    names = [*SETTINGS, *sorted(GROUPS), "variant"]
    return {
        "type": ["object", "null"],
        "properties": {name: _ref(f"axis.{name}") for name in names},
        "patternProperties": {_LORA_NAMES: _ref(f"axis.{_ONE_LORA}")},
        "propertyNames": {"not": {"enum": [*TOP_AXES, "words"]}},
        "additionalProperties": _ref("axis.variant"),
    }


def _condition() -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {axis: _ref("matched") for axis in TOP_AXES.values()},
        "additionalProperties": _ref("matched"),
    }


def _matched() -> Schema:
    one = {"type": [*TEXT["type"], "null", "object"]}
    return _any(one, _list_of(one))


def _about(says: str, schema: Schema) -> Schema:
    return {"description": says, **schema}


def _any(*forms: Schema) -> Schema:
    return {"anyOf": [*forms]}


def _list_of(*forms: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": _any(*forms) if forms[1:] else forms[0]}


def _ref(definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}"}
