"""Axes and bundles: the one rule of the language, read from the tree of a file.

Every axis is a list of values, or `name: value`; a value is that setting's value or a bundle of
settings. A mapping is the setting's own value where that setting takes mappings, else a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from pydantic import JsonValue

from common.batch import Axis, RangeAxis, Value
from common.errors import Problem
from common.prompt_syntax import warnings
from common.spec_values import (
    REFINER_SETTINGS,
    SETTINGS,
    TEXT_SETTINGS,
    Mistake,
    Scope,
    as_text,
    is_null,
    mapping,
    noting,
)
from common.spec_yaml import Entries, Items, Node, Scalar, shown
from common.suggest import closest, meant

TOP_AXES = MappingProxyType({"prompts": "prompt", "seeds": "seed", "variants": "variant"})
"""The axes with a key of their own, and their names everywhere else."""

MAX_LABEL = 200
"""Characters of a name that is given to a value. A prompt without one is labelled in full."""

Settings = dict[str, JsonValue]
AnyAxis = Axis | RangeAxis

_GENERATORS = ("file", "files", "emphasise", "random")
_AXIS_NAME = re.compile(r"[^\W\d][\w-]{0,99}")
_RANGE = re.compile(
    r"\s*(?P<first>\d{1,30})\s*\.\.\s*(?P<last>\d{1,30})(?:\s+by\s+(?P<step>\d{1,30}))?\s*"
)
_LIKE_A_RANGE = re.compile(r"\s*-?\d[\d.]*?\s*\.\.")


class AxisReader:
    """Reads what a file sets. `problems` and `notes` collect; what is wrong is left out.

    `paths` maps each axis to where it is written; `broken` are the axes with a problem.
    """

    def __init__(self, scope: Scope, problems: list[Problem], notes: list[str]) -> None:
        self.scope = scope
        self.problems = problems
        self.notes = notes
        self.paths: dict[str, str] = {}
        self.broken: set[str] = set()

    def axes(self, top: Mapping[str, Node]) -> Iterator[AnyAxis]:
        """Every axis in the order written."""
        for path, name, node in self._written(top):
            if name in self.paths:
                message = f"is the same axis as {self.paths[name]}"
                self.problems.append(Problem(path, message, "keep one of them"))
                continue
            self.paths[name] = path
            before = len(self.problems)
            with noting(self.problems, path):
                yield from self._axis(name, node, path)
            if len(self.problems) > before:
                self.broken.add(name)

    def bundle(self, node: Entries, path: str) -> Settings:
        """The settings written in a mapping."""
        settings: Settings = {}
        for name, value in node.values.items():
            place = f"{path}.{name}"
            with noting(self.problems, place):
                if name not in SETTINGS:
                    raise Mistake("is not a setting", _setting_hint(name, value))
                settings[name] = self.setting(name, value, place)
        return settings

    def setting(self, name: str, node: Node, path: str) -> JsonValue:
        """One setting's value as plain JSON. Raises Mistake."""
        value = SETTINGS[name].read(node, self.scope)
        if name in TEXT_SETTINGS and isinstance(value, str):
            self.notes += [f"{path}: {warning}" for warning in warnings(value)]
            if isinstance(node, Scalar) and node.cut:
                self.notes.append(f"{path}: ends before {node.cut!r}; quote it if that is meant")
        return value

    def _written(self, top: Mapping[str, Node]) -> Iterator[tuple[str, str, Node]]:
        for key, node in top.items():
            if key in TOP_AXES:
                yield key, TOP_AXES[key], node
            elif key == "axes":
                with noting(self.problems, key):
                    for name, axis in mapping(node, "{name: [values]}").items():
                        yield f"axes.{name}", name, axis

    def _axis(self, name: str, node: Node, path: str) -> Iterator[AnyAxis]:
        """The axis, or nothing where none of its values is right. Raises Mistake."""
        _check_name(name)
        if isinstance(node, Scalar):
            yield self._short(name, node, path)
        elif values := tuple(self._values(name, _named(name, node), path)):
            yield Axis(name=name, values=values)

    def _short(self, name: str, node: Scalar, path: str) -> AnyAxis:
        """A range, one prompt, or one seed."""
        if name != "prompt" and _LIKE_A_RANGE.match(node.text):
            return self._range(name, node)
        if name not in ("prompt", "seed"):
            hint = f"write [{node.text}]" if name in SETTINGS else _bundle_hint(name)
            raise Mistake(f"must be a list of values, or name: value, not {node}", hint)
        settings = {name: self.setting(name, node, path)}
        return Axis(name=name, values=(Value(label=as_text(settings[name]), settings=settings),))

    def _range(self, name: str, node: Scalar) -> RangeAxis:
        """`first..last by step`, both ends included; the last is one that is reached."""
        if name not in SETTINGS or not SETTINGS[name].whole:
            raise Mistake(f"a range of {name} is not yet supported", "list the values in [ ]")
        match = _RANGE.fullmatch(node.text)
        if match is None:
            raise Mistake(f"is not a range: {node}", "write 0..99, or 0..99 by 3")
        for end in match.group("first", "last"):
            SETTINGS[name].read(Scalar(int(end), end), self.scope)
        first, last, step = int(match["first"]), int(match["last"]), int(match["step"] or 1)
        if first > last:
            raise Mistake(f"runs backwards: {node}", f"write {last}..{first}")
        if step == 0:
            raise Mistake(f"has the step 0: {node}", "write by 1 or more")
        last -= (last - first) % step
        step = step if first < last else 1
        return RangeAxis(name=name, first=str(first), last=str(last), step=str(step))

    def _values(
        self, axis: str, named: list[tuple[str | None, Node]], path: str
    ) -> Iterator[Value]:
        seen: dict[str, str] = {}
        for number, (name, node) in enumerate(named, 1):
            place = f"{path}.{number if name is None else name}"
            with noting(self.problems, place):
                settings = self._value(axis, node, place)
                label = _label(axis, settings) if name is None else name
                _check_label(label, name, seen)
                seen[label] = place
                yield Value(label=label, settings=settings)

    def _value(self, axis: str, node: Node, path: str) -> Settings:
        """What one value sets: a bundle, or the setting that the axis is named after."""
        setting = SETTINGS.get(axis)
        if isinstance(node, Entries) and not (setting and setting.owns(node)):
            _check_no_generator(node)
            return self.bundle(node, path)
        if setting:
            return {axis: self.setting(axis, node, path)}
        if is_null(node):
            return {}
        raise Mistake(f"must be a bundle of settings, not {node}", _bundle_hint(axis))


def _named(axis: str, node: Items | Entries) -> list[tuple[str | None, Node]]:
    """The values of an axis, with their names where they have any. Raises Mistake."""
    if isinstance(node, Items):
        _check_commas(axis, node)
        named: list[tuple[str | None, Node]] = [(None, value) for value in node.values]
    else:
        _check_no_generator(node)
        _check_not_one_bundle(axis, node)
        named = [*node.values.items()]
    if not named:
        raise Mistake("has no values", "write at least one, or remove the axis")
    return named


def _label(axis: str, settings: Settings) -> str:
    """The label of a value without a name. A prompt is labelled by its text, whatever else
    its bundle sets."""
    if axis in settings and (len(settings) == 1 or axis == "prompt"):
        return as_text(settings[axis])
    return ", ".join(f"{name} {as_text(value)}" for name, value in settings.items()) or "none"


def _check_label(label: str, name: str | None, seen: Mapping[str, str]) -> None:
    if name is not None and not (name.strip() and len(name) <= MAX_LABEL):
        raise Mistake(f"a name has 1 to {MAX_LABEL} characters, not {len(name)}", "rename it")
    if label in seen:
        hint = "remove one, or give both a name (name: value)"
        raise Mistake(f"has the label {shown(label)}, which {seen[label]} has too", hint)


def _check_name(axis: str) -> None:
    if axis in TOP_AXES:
        raise Mistake("is not written under axes", f"write {axis}: at the top of the file")
    if "." in axis:
        name, _, inner = axis.partition(".")
        hint = f"write {name}: [{{{inner}: …}}, …]"
        raise Mistake(f"the axis {axis!r} inside a setting is not yet supported", hint)
    if not _AXIS_NAME.fullmatch(axis):
        raise Mistake(f"{axis!r} can't name an axis", "use a letter, then letters, digits, _ and -")


def _check_commas(axis: str, node: Items) -> None:
    """`[A wolf, chilly]` is two prompts to YAML, and seldom to its writer."""
    plain = [isinstance(v, Scalar) and v.plain and v.value is not None for v in node.values]
    if axis in TEXT_SETTINGS and node.flow and any(map(all, pairwise(plain))):
        texts = [value.text for value in node.values if isinstance(value, Scalar)]
        raise Mistake(
            f"its commas make {len(plain)} texts of [{', '.join(texts)[:80]}]",
            f'quote each text: ["{texts[0][:40]}", …]',
        )


def _check_no_generator(node: Entries) -> None:
    for key in _GENERATORS:
        if key in node.values:
            raise Mistake(f"{{{key}: …}} is not yet supported", "write the values out")


def _check_not_one_bundle(axis: str, node: Entries) -> None:
    """A single bundle reads like names and values, and would make a prompt of its seed."""
    if axis == "prompt" and axis in node.values:
        raise Mistake(
            "is one bundle, where names and prompts are expected",
            "put it in a list (- prompt: …), or write name: {prompt: …}",
        )


def _bundle_hint(axis: str) -> str:
    close = closest(axis, SETTINGS) if axis != "variant" else None
    if close:
        return f"{axis} is not a setting; did you mean {close!r}?"
    return "write name: {setting: value}"


def _setting_hint(name: str, value: Node) -> str:
    if name in _GENERATORS:
        return "it is not yet supported; write the values out"
    if name.startswith("refiner.") or name in REFINER_SETTINGS:
        return f"write refiner: {{{name.removeprefix('refiner.')}: …}}"
    close = closest(name, SETTINGS)
    if close is None and is_null(value):
        return "quote the prompt if the comma or brace belongs to it"
    return f"did you mean {close!r}?" if close else meant(name, SETTINGS)
