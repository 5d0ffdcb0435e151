"""What must hold for a batch file as a whole, once each part of it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from common.batch import LORA, MAX_AXES, MAX_CELLS, AnyAxis, Axis, Batch, Layer, Matrix, Value
from common.errors import GridfarmError
from producer.language.mistakes import Finding, Mistake
from producer.language.settings import as_text

_BUNDLE_AXES = frozenset({"prompt", "variant"})


def overlaps(axes: Sequence[AnyAxis], paths: Mapping[str, str]) -> Iterator[Finding]:
    """Only a variant may set what another axis sets too, and only over a prompt.

    `paths` maps each axis to where it is written.
    """
    owners: dict[str, str] = {}
    for axis in axes:
        if axis.name not in _BUNDLE_AXES:
            for setting in sorted(axis.setting_names()):
                if owner := _owner(setting, owners):
                    yield _overlap(paths[axis.name], setting, owner)
            owners |= dict.fromkeys(axis.setting_names(), paths[axis.name])
    for axis in axes:
        if axis.name in _BUNDLE_AXES:
            for setting in sorted(axis.setting_names()):
                if owner := _owner(setting, owners):
                    first = next(v.label for v in _values(axis) if setting in v.settings)
                    yield _overlap(owner, setting, f"{paths[axis.name]}.{first}")


def without_prompt(axes: Sequence[AnyAxis], paths: Mapping[str, str]) -> Iterator[Finding]:
    """Every cell has a prompt, if not from the settings, then from all values of some axis."""
    place = "prompts"
    for axis in axes:
        missing = [value.label for value in _values(axis) if "prompt" not in value.settings]
        if not missing:
            return
        if "prompt" in axis.setting_names():
            place = f"{paths[axis.name]}.{missing[0]}"
    yield Finding("no-prompt", path=place)


def too_many(axes: Sequence[AnyAxis]) -> Iterator[Finding]:
    """More axes, or more cells, than any reader takes."""
    if len(axes) > MAX_AXES:
        yield Finding("too-many-axes", {"axes": len(axes), "most": MAX_AXES})
    lengths = [axis.count for axis in axes[:MAX_AXES]]
    if (cells := math.prod(lengths)) > MAX_CELLS:
        yield Finding("too-many-cells", {"lengths": lengths, "cells": cells, "most": MAX_CELLS})


def check_cells(batch: Batch) -> None:
    """Some cell is left. Raises Mistake, also where they cannot be counted."""
    try:
        cells = Matrix(batch).cells
    except GridfarmError as error:
        raise Mistake("uncountable", says=error.message, hint=error.hint) from None
    if cells == 0:
        raise Mistake("no-cell")


def notes_on_ignored_negatives(settings: Layer, axes: Sequence[AnyAxis]) -> Iterator[str]:
    """One note at most. Two values of one axis are never in one cell."""
    groups: list[list[Layer]] = [[settings]]
    groups += [[*axis.layers()] for axis in axes]
    placed = [(group, layer) for group, layers in enumerate(groups) for layer in layers]
    negative = [pair for pair in placed if pair[1].get("negative_prompt") is not None]
    for group, layer in placed:
        scale = layer.get("guidance_scale")
        low = isinstance(scale, float) and scale <= 1
        if low and any(own is layer or other != group for other, own in negative):
            yield f"at guidance_scale {as_text(scale)} negative prompts have no effect"
            return


def _values(axis: AnyAxis) -> tuple[Value, ...]:
    """The values of an axis; the first one stands for all of a range."""
    return axis.values if isinstance(axis, Axis) else (axis.value(0),)


def _owner(setting: str, owners: Mapping[str, str]) -> str | None:
    """Which axis sets it; `loras` and one LoRA alone (`loras.style`) are in each other's way."""
    if setting == "loras":
        return next((path for name, path in owners.items() if name.startswith(LORA)), None) or (
            owners.get(setting)
        )
    return owners.get(setting) or (owners.get("loras") if setting.startswith(LORA) else None)


def _overlap(path: str, setting: str, other: str) -> Finding:
    return Finding("set-by-two-axes", {"setting": setting, "other": other}, path)
