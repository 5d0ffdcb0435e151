"""`--set steps=10`: one setting for every cell, whatever the file says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace

from pydantic import JsonValue

from common.batch import LORA, WORD, AnyAxis, Axis, Batch, RangeAxis, Value
from common.errors import UsageError
from common.text import closest
from producer.language import BatchFile, Finding, Mistake, problem_of
from producer.language.axes import TOP_AXES, BundleReader
from producer.language.settings import SETTINGS, as_text
from producer.language.yaml import Node, Scalar, plain, read_yaml
from producer.trial.where import with_axes

Settings = dict[str, JsonValue]
Say = Callable[[str], None]

_SEVERAL = re.compile(r"-?[\d.]+\s*(,|\.\.)\s*-?[\d.]+.*")


def with_settings(file: BatchFile, options: Iterable[str], say: Say) -> BatchFile:
    """`file` with each `name=value` of `options` set in every cell. What it replaces is said aloud.

    Raises UsageError.
    """
    batch = file.batch
    for option in options:
        name, settings = _read(option, file)
        for owner in _owners(batch, name, settings):
            say(f"--set {option} goes over {owner}")
        batch = _overridden(batch, name, settings)
    return replace(file, batch=batch)


def _read(option: str, file: BatchFile) -> tuple[str, Settings]:
    name, equals, text = option.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"--set {option!r} is not NAME=VALUE", hint=_meant(option, file))
    if name in TOP_AXES:
        raise UsageError(f"--set {name}: {name} is an axis", hint=f"write --set {TOP_AXES[name]}=…")
    flat = WORD + name if name in file.scope.words else name
    try:
        settings = BundleReader(file.scope, [], []).settings(flat, _node(text.strip()), name)
    except Mistake as mistake:
        problem = problem_of(mistake.findings[0])
        place = ".".join(filter(None, (name, problem.path)))
        hint = _hint(mistake.findings[0], name, text.strip(), file) or problem.hint
        raise UsageError(f"--set {place}: {problem.message}", hint=hint) from None
    return name, settings


def _hint(found: Finding, name: str, text: str, file: BatchFile) -> str:
    """What a command line can do about it where that is not what a file can; "" where it is."""
    if _SEVERAL.fullmatch(text) or found.kind == "random-seed":
        return "--set takes one value; several make an axis of the file"
    if found.kind == "not-a-setting" and any(axis.name == name for axis in file.batch.axes):
        return f"{name} is an axis: --where {shlex.quote(f'{name}={text}')} chooses a value of it"
    if found.kind == "not-a-setting" and (word := closest(name, [*file.scope.words, *SETTINGS])):
        return f"did you mean {word!r}?"
    return "" if text else f"write a value behind the sign: --set {name}=…"


def _meant(option: str, file: BatchFile) -> str:
    """`steps`, `steps:3`, `steps 3`."""
    name, _, text = (part.strip() for part in re.split(r"([:\s])", f"{option} ", maxsplit=1))
    known = closest(name.strip("= "), [*file.scope.words, *SETTINGS])
    if not known:
        return "write --set steps=10"
    return f"write --set {shlex.quote(f'{known}={text}') if text else f'{known}=…'}"


def _node(text: str) -> Node:
    """As YAML reads it, without a prompt's commas or colons being taken for YAML's."""
    if text[:1] in ("{", "[", '"', "'") and text[-1:] in ("}", "]", '"', "'"):
        try:
            return read_yaml(text)[0]
        except Mistake as mistake:
            message = problem_of(mistake.findings[0]).message
            raise UsageError(f"--set {text}: {message}", hint="check its quotes") from None
    return plain(text) if text else Scalar("", "")


def _overridden(batch: Batch, name: str, settings: Settings) -> Batch:
    axes = tuple(_without(axis, name, settings) for axis in batch.axes)
    base = _stripped(batch.settings, settings) | settings
    return with_axes(batch.model_copy(update={"settings": base}), axes)


def _without(axis: AnyAxis, name: str, settings: Settings) -> AnyAxis:
    """An axis of the setting has one value left; in bundles of others it is taken out."""
    if axis.name == name or _overrides(settings, axis.name):
        label = ", ".join(as_text(value) for value in settings.values())
        return Axis(name=axis.name, values=(Value(label=label or "none", settings=settings),))
    if isinstance(axis, RangeAxis):
        return axis
    stripped = (
        v.model_copy(update={"settings": _stripped(v.settings, settings)}) for v in axis.values
    )
    return axis.model_copy(update={"values": tuple(stripped)})


def _stripped(below: Settings, settings: Settings) -> Settings:
    return {name: value for name, value in below.items() if not _overrides(settings, name)}


def _overrides(settings: Settings, name: str) -> bool:
    return name in settings or ("loras" in settings and name.startswith(LORA))


def _owners(batch: Batch, name: str, settings: Settings) -> list[str]:
    """What of the file is overridden, other than its settings."""
    return [
        f"the axis {axis.name}"
        if axis.name == name or _overrides(settings, axis.name)
        else f"what the axis {axis.name} sets"
        for axis in batch.axes
        if axis.name == name or any(_overrides(settings, n) for n in axis.setting_names())
    ]
