"""Names that are not known: the one that was probably meant, or where it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from glob import has_magic
from itertools import takewhile
from pathlib import Path

from common.text import ELSEWHERE, closest, mean_path, suggestion
from producer.language.axes import TOP_AXES, generators
from producer.language.mends import forms
from producer.language.mends.written import line, quoted
from producer.language.settings import SETTINGS
from producer.language.yaml import Items, Node, Scalar, is_null

_DOTTED = tuple(name for name in SETTINGS if "." in name)


def one_of(name: str, known: Iterable[str]) -> str:
    return suggestion(name, known)


def key(name: str, node: Node, known: Mapping[str, str]) -> str:
    """A key at the top: singular instead of plural, a setting, or misspelt."""
    if f"{name}s" in TOP_AXES:
        return f"write {line(f'{name}s', node)}"
    if name in SETTINGS:
        place = "axes" if isinstance(node, Items) else "settings"
        return f"write it under {place}: {{{line(name, node)}}}"
    return suggestion(name, known)


def setting(name: str, node: Node) -> str:
    if name in generators.KEYS:
        return "it makes values of an axis"
    if f"refiner.{name}" in SETTINGS:
        return f"write refiner: {{{name}: …}}"
    if is_null(node) and (written := forms.settings(Scalar(name, name))) != forms.NO_SETTING:
        return f"write {written}"
    close = closest(name, SETTINGS)
    if close is None and is_null(node):
        return f"quote the prompt if the brace belongs to it: {quoted(f'{{{name}}}')}"
    return f"did you mean {close!r}?" if close else suggestion(name, SETTINGS)


def setting_of_group(group: str, name: str) -> str:
    known = [n.partition(".")[2] for n in SETTINGS if n.startswith(f"{group}.")]
    ours = ELSEWHERE.get(name, name)
    beside = ours in SETTINGS and ours not in known
    return f"write {ours}: beside {group}:" if beside else suggestion(name, known)


def dotted_setting(name: str) -> str:
    return suggestion(name, _DOTTED)


def axis(name: str, node: Node) -> str:
    """A name that no axis can have; `axes: {20, 30}` names axes too."""
    if is_null(node) and re.fullmatch(r"-?\d[\d.]*", name):
        return "put the values of an axis in brackets: [20, 30]"
    close = closest(name, _DOTTED)
    return f"did you mean {close!r}?" if close else "use a letter, then letters, digits, _ and -"


def bundles_of(axis: str, node: Node) -> str:
    """An axis whose values are bundles, unless a setting was meant."""
    close = closest(axis, SETTINGS) if axis != "variant" else None
    if close:
        return f"{axis} is not a setting; did you mean {close!r}?"
    return f"write name: {forms.settings(node)}"


def word(name: str, known: Iterable[str]) -> str:
    if close := closest(name, known):
        return f"did you mean {{{close}}}?"
    return f"write words: {{{name}: […]}}, or {{{{{name}}}}} for literal braces"


def file(file: str) -> str:
    return mean_path(Path(file)) or "paths are relative to the batch file"


def files(pattern: str, folder: Path) -> str:
    """The folder in which the files of a pattern are, unless it is there."""
    fixed = takewhile(lambda part: not has_magic(part), Path(pattern).expanduser().parts)
    place = folder.joinpath(*fixed)
    near = "" if place.exists() else mean_path(place)
    return near or f"it was looked for in {folder}"


def lora(name: str, known: Iterable[str]) -> str:
    return suggestion(name, known) or "write lora_files: {name: file or hub id}"
