"""Axes and bundles: the one rule of the language, read from the tree of a file.

Every axis is a list of values, or `name: value`; a value is that setting's value or a bundle of
settings. A mapping is the setting's own value where that setting takes mappings, else a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from types import MappingProxyType

from pydantic import JsonValue

from common.batch import GROUPS, WORD_NAME, AnyAxis, Axis, Value
from common.errors import Problem
from common.job import warnings
from common.text import ELSEWHERE, closest, meant
from producer.language.axes.generators import KEYS, Written, generated, generator_in, in_list
from producer.language.axes.ranges import is_like_a_range, read_range
from producer.language.axes.tables import MAX_VALUES
from producer.language.settings import (
    SETTINGS,
    Mistake,
    Scope,
    Setting,
    as_text,
    find_setting,
    is_null,
    mapping,
    noting,
    read_each,
)
from producer.language.yaml import Entries, Items, Node, Scalar, shown

#: The axes with a key of their own, and their names everywhere else.
TOP_AXES = MappingProxyType({"prompts": "prompt", "seeds": "seed", "variants": "variant"})

#: Characters of a name that is given to a value. A prompt without one is labelled in full.
MAX_LABEL = 200

Settings = dict[str, JsonValue]

_LIKE_NULL = re.compile(r"none|nothing|null|no", re.IGNORECASE)
#: `wolf:a wolf owl:an owl`: lines of names and texts that YAML reads as one text.
_LIKE_LINES = re.compile(r"^-\w.*\s-\w|^\w+:[^\s\d/].*\s\w+:[^\s\d/]")

_LIKE_A_FILE = re.compile(r"[\w./\\-]+\.(txt|csv|tsv)", re.IGNORECASE)
_AXIS_NAME = re.compile(r"[^\W\d][\w-]{0,99}|(refiner|loras)\..{1,100}")


@dataclass(frozen=True)
class _Place:
    """An axis as it stands in the file. `setting` is what its values set, if it is named after
    one: `words.animal` for the word `animal`."""

    path: str
    name: str
    node: Node
    setting: str

    @property
    def takes(self) -> Setting | None:
        return find_setting(self.setting)

    @property
    def is_text(self) -> bool:
        return self.takes is not None and self.takes.kind == "text"

    @property
    def is_numeric(self) -> bool:
        return self.takes is not None and self.takes.kind == "numeric"


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
        for place in self._written(top):
            if place.name in self.paths:
                message = f"is the same axis as {self.paths[place.name]}"
                self.problems.append(Problem(place.path, message, "keep one of them"))
                continue
            self.paths[place.name] = place.path
            before = len(self.problems)
            with noting(self.problems, place.path):
                yield from self._axis(place)
            if len(self.problems) > before:
                self.broken.add(place.name)

    def bundle(self, node: Entries, path: str, word: str = "") -> Settings:
        """The settings written in a mapping; `word` may be set by its own axis alone."""
        settings: Settings = {}
        for name, value in node.values.items():
            place = f"{path}.{name}"
            with noting(self.problems, place):
                if name.startswith("words."):
                    raise Mistake("is not a setting", "write words: at the top of the file")
                flat = f"words.{name}" if name == word else name
                found = self.settings(flat, value, place)
                if twice := _set_by(settings) & _set_by(found):
                    raise Mistake(f"sets {min(twice)} again", "keep one of the two")
                settings |= found
        return settings

    def settings(self, name: str, node: Node, path: str) -> Settings:
        """What `name: node` sets, checked, with what its writer should know noted."""
        settings = self.read(name, node)
        texts = {n: v for n, v in settings.items() if isinstance(v, str) and _is_text(n)}
        for text in texts.values():
            self.notes += [f"{path}: {warning}" for warning in warnings(text)]
            if _LIKE_NULL.fullmatch(text) and name.endswith("negative_prompt"):
                self.notes.append(f"{path}: draws the word {text!r}; no negative prompt is null")
            if _LIKE_LINES.search(text):
                self.notes.append(f"{path}: is one text; put a space behind the colon or hyphen")
            if _LIKE_A_FILE.fullmatch(text):
                self.notes.append(f"{path}: draws the words {text!r}; a file is {{file: {text}}}")
        if texts and isinstance(node, Scalar) and node.cut:
            self.notes.append(f"{path}: ends before {node.cut!r}; quote it if that is meant")
        return settings

    def read(self, name: str, node: Node) -> Settings:
        """What `name: node` sets, as flat plain JSON. Raises Mistake."""
        if name in GROUPS:
            return self._group(name, node)
        setting = find_setting(name)
        if setting is None:
            raise Mistake("is not a setting", _setting_hint(name, node))
        return {name: setting.read(node, self.scope)}

    def _group(self, name: str, node: Node) -> Settings:
        def read(inner: str, value: Node) -> JsonValue:
            setting = SETTINGS.get(f"{name}.{inner}")
            if setting is None:
                known = [n.partition(".")[2] for n in SETTINGS if n.startswith(f"{name}.")]
                ours = ELSEWHERE.get(inner, inner)
                beside = ours in SETTINGS and ours not in known
                hint = f"write {ours}: beside {name}:" if beside else meant(inner, known)
                raise Mistake(f"is not a setting of the {name}", hint)
            return setting.read(value, self.scope)

        form = "{aesthetic_score: 6}"
        if isinstance(node, Scalar) and isinstance(node.value, str):
            form = f"{{model: {node.text}}}"
        if isinstance(node, Scalar) and isinstance(node.value, float):
            form = f"high_noise_frac: {node.text}, the base's part of the steps"
        if isinstance(node, Scalar) and node.value is True:
            form = "high_noise_frac: 0.8, which brings the refiner in"
        found = read_each(mapping(node, form), read)
        return {f"{name}.{inner}": value for inner, value in found.items()}

    def _written(self, top: Mapping[str, Node]) -> Iterator[_Place]:
        for key, node in top.items():
            if key in TOP_AXES:
                yield _Place(key, TOP_AXES[key], node, TOP_AXES[key])
            elif key in ("axes", "words"):
                with noting(self.problems, key):
                    form = "{name: [values]}" if key == "axes" else "{animal: [wolf, cat]}"
                    for name, axis in mapping(node, form).items():
                        setting = f"words.{name}" if key == "words" else name
                        yield _Place(f"{key}.{name}", name, axis, setting)

    def _axis(self, place: _Place) -> Iterator[AnyAxis]:
        """The axis, or nothing where none of its values is right. Raises Mistake."""
        _check_name(place)
        if isinstance(place.node, Scalar):
            yield self._short(place, place.node)
        elif values := tuple(self._values(place)):
            yield Axis(name=place.name, values=values)

    def _short(self, place: _Place, node: Scalar) -> AnyAxis:
        """A range, one prompt, or one seed."""
        setting = place.takes
        if setting and place.is_numeric and is_like_a_range(node.text):
            return read_range(place.name, setting, node, self.scope)
        if place.name not in ("prompt", "seed"):
            hint = _list_hint(node.text) if setting else _bundle_hint(place.name)
            raise Mistake(f"must be a list of values, or name: value, not {node}", hint)
        settings = self.settings(place.setting, node, place.path)
        value = Value(label=as_text(settings[place.setting]), settings=settings)
        return Axis(name=place.name, values=(value,))

    def _values(self, place: _Place) -> Iterator[Value]:
        seen: dict[str, str] = {}
        for count, (path, written) in enumerate(self._each(place), 1):
            if count > MAX_VALUES:
                raise Mistake(f"has more than {MAX_VALUES:,} values", "use a range")
            before = len(self.problems)
            with noting(self.problems, path):
                settings = self._value(place, written, path)
                if len(self.problems) > before:
                    continue
                label = _label(place, settings) if written.name is None else written.name
                _check_label(label, written.name, seen)
                seen[label] = path
                yield Value(label=label, settings=settings)

    def _each(self, place: _Place) -> Iterator[tuple[str, Written]]:
        """Every value of the axis with its path: those written, and those generated."""
        for number, (name, node) in enumerate(_named(place), 1):
            at = f"{number}" if name is None else name
            path = f"{place.path}.{at}" if at != _WHOLE else place.path
            with noting(self.problems, path):
                for made in _some(self._made(place, name, node)):
                    yield f"{path}[{made.place}]" if made.place else path, made

    def _made(self, place: _Place, name: str | None, node: Node) -> Iterator[Written]:
        if key := generator_in(node):
            assert isinstance(node, Entries)
            if name not in (None, _WHOLE):
                raise Mistake(f"{{{key}: …}} makes values that name themselves", "put it in a list")
            return generated(key, node, place.name, place.takes, self.scope)
        numeric = place.takes if place.is_numeric else None
        if numeric and name is None and isinstance(node, Scalar) and is_like_a_range(node.text):
            return in_list(node, place.name, numeric, self.scope)
        return iter([Written("", name, node)])

    def _value(self, place: _Place, written: Written, path: str) -> Settings:
        """What one value sets: a bundle, or the setting that the axis is named after."""
        if written.settings is not None:
            return written.settings
        node, setting = written.node, place.takes
        if isinstance(node, Entries) and not (
            place.name in GROUPS or (setting and setting.owns(node))
        ):
            word = place.name if place.setting.startswith("words.") else ""
            _check_not_a_text(place, written.name, node)
            if word and word not in node.values:
                raise Mistake(f"has no text for {word}", f"write {{{word}: …}} beside its settings")
            return self.bundle(node, path, word)
        if setting or place.name in GROUPS:
            return self.settings(place.setting, node, path)
        if is_null(node):
            return {}
        raise Mistake(f"must be a bundle of settings, not {node}", _bundle_hint(place.name))


def _some(values: Iterator[Written]) -> Iterator[Written]:
    """Raises Mistake where there are none."""
    first = next(values, None)
    if first is None:
        raise Mistake("makes no values", "write at least one, or remove it")
    yield first
    yield from values


#: Names the generator that is written where a list stands.
_WHOLE = "\0"


def _named(place: _Place) -> list[tuple[str | None, Node]]:
    """The values of an axis, with their names where they have any. Raises Mistake."""
    node = place.node
    if isinstance(node, Items):
        _check_commas(place, node)
        named: list[tuple[str | None, Node]] = [(None, value) for value in node.values]
    elif generator_in(node):
        named = [(_WHOLE, node)]
    else:
        assert isinstance(node, Entries)
        _check_not_one_bundle(place.name, node)
        _check_seed_names(place.name, node)
        named = [*node.values.items()]
    if not named:
        raise Mistake("has no values", "write at least one, or remove the axis")
    _check_setting(place, named)
    return named


def _check_setting(place: _Place, named: list[tuple[str | None, Node]]) -> None:
    """Values under a name that is almost a setting's are told once, not one by one."""
    known = place.takes is not None or place.name in GROUPS or place.name in TOP_AXES.values()
    plain = any(isinstance(node, Scalar) and not is_null(node) for _, node in named)
    if not known and plain and closest(place.name, SETTINGS):
        raise Mistake("is not a setting", _setting_hint(place.name, named[0][1]))


def _set_by(settings: Settings) -> set[str]:
    """The names of what is set, LoRAs one by one: `loras: {style: 1}` sets `loras.style`."""
    loras = settings.get("loras")
    return {*settings, *(f"loras.{name}" for name in (loras if isinstance(loras, dict) else ()))}


def _is_text(name: str) -> bool:
    setting = find_setting(name)
    return setting is not None and setting.kind == "text"


def _label(place: _Place, settings: Settings) -> str:
    """The label of a value without a name. A text is labelled by itself, whatever else its
    bundle sets; settings of a group by their inner names."""
    if place.setting in settings and (len(settings) == 1 or place.is_text):
        value = settings[place.setting]
        return "default" if place.setting == "scheduler" and value is None else as_text(value)
    inside = f"{place.name}." if place.name in GROUPS else ""
    named = (f"{name.removeprefix(inside)} {as_text(v)}" for name, v in settings.items())
    return ", ".join(named) or "none"


def _check_label(label: str, name: str | None, seen: Mapping[str, str]) -> None:
    if name is not None:
        check_name(name)
    if label in seen:
        hint = "remove one, or give both a name (name: value)"
        raise Mistake(f"has the label {shown(label)}, which {seen[label]} has too", hint)


def check_name(name: str) -> None:
    """Raises Mistake for a name that nothing can be called by."""
    if not (name.strip() and len(name) <= MAX_LABEL):
        raise Mistake(f"a name has 1 to {MAX_LABEL} characters, not {len(name)}", "rename it")


def _check_name(place: _Place) -> None:
    name = place.name
    if place.setting.startswith("words."):
        if not WORD_NAME.fullmatch(name):
            raise Mistake(f"{name!r} can't name a word", "use a letter, then letters, digits and _")
        if name in SETTINGS or name in TOP_AXES.values() or name in GROUPS:
            raise Mistake(f"{name} is a setting's name", "rename the word")
    elif name in TOP_AXES:
        raise Mistake("is not written under axes", f"write {name}: at the top of the file")
    elif name == "words":
        raise Mistake("is not written under axes", "write words: at the top of the file")
    elif not _AXIS_NAME.fullmatch(name):
        close = closest(name, [n for n in SETTINGS if "." in n])
        hint = (
            f"did you mean {close!r}?" if close else "use a letter, then letters, digits, _ and -"
        )
        if is_null(place.node) and re.fullmatch(r"-?\d[\d.]*", name):
            hint = "put the values of an axis in brackets: [20, 30]"
        raise Mistake(f"{name!r} can't name an axis", hint)
    elif name.startswith("refiner.") and name not in SETTINGS:
        raise Mistake("is not a setting", meant(name, [n for n in SETTINGS if "." in n]))


def _check_commas(place: _Place, node: Items) -> None:
    """`[A wolf, chilly]` is two prompts to YAML, and seldom to its writer."""
    plain = [isinstance(v, Scalar) and v.plain and v.value is not None for v in node.values]
    if _is_text(place.name) and node.flow and any(map(all, pairwise(plain))):
        texts = [value.text for value in node.values if isinstance(value, Scalar)]
        raise Mistake(
            f"its commas make {len(plain)} texts of [{', '.join(islice(texts, 20))[:80]}]",
            f'quote each text: ["{texts[0][:40]}", …]',
        )


def _check_not_a_text(place: _Place, name: str | None, node: Entries) -> None:
    """`- a sign: open` is a mapping to YAML, and `[base: 1]` a list of one."""
    key, value = next(iter(node.values.items()), ("", None))
    if len(node.values) != 1 or not isinstance(value, Scalar) or is_null(value):
        return
    if key == place.name or find_setting(key) or key in GROUPS or place.takes is None:
        return
    if place.is_text and (" " in key or not closest(key, SETTINGS)):
        raise Mistake("is a mapping, and a text is meant", f"quote it: '{key}: {value.text}'")
    if name is None and not closest(key, SETTINGS):
        raise Mistake(
            f"names a value, {key!r}, inside a list",
            f"write {{{key}: {value.text}, …}} without [ ]",
        )


def _check_not_one_bundle(axis: str, node: Entries) -> None:
    """A single bundle reads like names and values, and would make a prompt of its seed."""
    if axis == "prompt" and axis in node.values:
        raise Mistake(
            "is one bundle, where names and prompts are expected",
            "put it in a list (- prompt: …), or write name: {prompt: …}",
        )


def _list_hint(text: str) -> str:
    """Also for the ranges of A1111's X/Y/Z plot: `5-9 (+2)`, `10-50 [3]`."""
    if ends := re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*\(\+?([\d.]+)\)\s*", text):
        return f"write {ends[1]}..{ends[2]} by {ends[3]}"
    if ends := re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*\[(\d+)\]\s*", text):
        step = (int(ends[2]) - int(ends[1])) / max(1, int(ends[3]) - 1)
        return f"write {ends[1]}..{ends[2]} by {step:g}"
    if _LIKE_A_FILE.fullmatch(text):
        return f"a file is {{file: {text}}}"
    if ends := re.fullmatch(r"\s*(-?[\d.]+)\s*(?:-|to|…)\s*([\d.]+)\s*", text):
        return f"write {ends[1]}..{ends[2]}"
    return f"write [{text[:40]}]"


_NO_SEEDS = frozenset({"from", "count", "start", "end", "to", "step", "per"})


def _check_seed_names(axis: str, node: Entries) -> None:
    """`seeds: {count: 4}` would be one seed that is called count."""
    if axis == "seed" and (odd := [name for name in node.values if name in _NO_SEEDS]):
        raise Mistake(
            f"{odd[0]!r} would be the name of a seed",
            "random seeds are {random: 4, from: 7}, a range is 1..9",
        )


def _bundle_hint(axis: str) -> str:
    close = closest(axis, SETTINGS) if axis != "variant" else None
    if close:
        return f"{axis} is not a setting; did you mean {close!r}?"
    return "write name: {setting: value}"


def _setting_hint(name: str, value: Node) -> str:
    if name in KEYS:
        return "it makes values of an axis"
    if f"refiner.{name}" in SETTINGS:
        return f"write refiner: {{{name}: …}}"
    close = closest(name, SETTINGS)
    if close is None and is_null(value):
        return "quote the prompt if the comma or brace belongs to it"
    return f"did you mean {close!r}?" if close else meant(name, SETTINGS)
