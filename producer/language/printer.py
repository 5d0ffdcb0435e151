"""A batch as a batch file: what `gridfarm show BATCH` prints, and what loads as the same batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import JsonValue

from common.batch import (
    DAMAGED,
    GROUPS,
    NOT_OURS,
    WORD,
    AnyAxis,
    Batch,
    RangeAxis,
    Value,
    is_drawn,
)
from common.errors import GridfarmError
from producer.language.axes import TOP_AXES
from producer.language.settings import DEFAULTS, as_text, find_setting

_KEYS = {name: key for key, name in TOP_AXES.items()}


def printed(batch: Batch, lora_sources: Mapping[str, str]) -> str:
    """YAML that `load_batch_file` reads as `batch`, before anything of it is resolved.

    `lora_sources` says where each LoRA's file is, which a batch does not keep. Raises
    GridfarmError for a batch that no file makes.
    """
    try:
        document = _document(batch, lora_sources)
        return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=10_000)
    except (*NOT_OURS, yaml.YAMLError) as error:
        raise GridfarmError(
            f"the batch {batch.name!r} has settings that no batch file writes: {error}"[:300],
            hint=DAMAGED,
        ) from error


def _document(batch: Batch, lora_sources: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {"name": batch.name}
    if batch.loras:
        document["lora_files"] = {name: lora_sources[name] for name in batch.loras}
    settings = {n: v for n, v in batch.settings.items() if n not in DEFAULTS or v != DEFAULTS[n]}
    if settings:
        document["settings"] = _bundle(settings)
    for axis in batch.axes:
        place, name = _place(axis)
        (document.setdefault(place, {}) if place else document)[name] = _axis(axis)
    for key, entries in (("exclude", batch.exclude), ("only", batch.only)):
        if entries:
            document[key] = [{n: [*labels] for n, labels in entry.items()} for entry in entries]
    return document


def _place(axis: AnyAxis) -> tuple[str, str]:
    """The key at the top that the axis is under, and its name there."""
    if axis.name in _KEYS:
        return "", _KEYS[axis.name]
    return ("words" if WORD + axis.name in axis.setting_names() else "axes"), axis.name


def _axis(axis: AnyAxis) -> Any:
    if isinstance(axis, RangeAxis):
        step = "" if axis.step == "1" else f" by {axis.step}"
        return f"{axis.first}..{axis.last}{step}"
    drawn = [v for v in axis.values if is_drawn("seed", v.settings.get("seed"))]
    if drawn:
        others = [_value(axis.name, v) for v in axis.values if v not in drawn]
        return [_random(drawn), *others]
    if all(_labels_itself(axis.name, value) for value in axis.values):
        return [_value(axis.name, value) for value in axis.values]
    return {value.label: _value(axis.name, value) for value in axis.values}


def _random(drawn: list[Value]) -> dict[str, JsonValue]:
    source: Any = drawn[0].settings["seed"]
    return {"random": len(drawn), "from": int(source["from"]), "per": "image"}


def _labels_itself(axis: str, value: Value) -> bool:
    """Whether its label is what it would have without a name."""
    own = axis if axis in value.settings else WORD + axis
    return value.settings.keys() == {own} and value.label == as_text(value.settings[own])


def _value(axis: str, value: Value) -> Any:
    if axis in GROUPS:
        return {name.partition(".")[2]: v for name, v in value.settings.items()}
    own = WORD + axis if WORD + axis in value.settings else axis
    if value.settings.keys() == {own} and find_setting(own):
        return _written(own, value.settings[own])
    return _bundle(value.settings)


def _bundle(settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name.removeprefix(WORD): _written(name, value) for name, value in settings.items()}


def _written(name: str, value: JsonValue) -> JsonValue:
    """Seeds are texts in a batch, since JSON's numbers end at 2⁵³."""
    return int(value) if name == "seed" and isinstance(value, str) else value
