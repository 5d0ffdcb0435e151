"""Axes: the one rule of the language, read from the tree of a file.

Every axis is a list of values, or `name: value`; a value is that setting's value or a bundle of
settings. A mapping is the setting's own value where that setting takes mappings, else a bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from common.batch import GROUPS, AnyAxis, Axis, Value
from producer.language.axes.bundles import BundleReader, Settings, is_setting
from producer.language.axes.generators import Written, generated, generator_in, in_list
from producer.language.axes.misreadings import (
    check_commas,
    check_is_setting,
    check_not_a_text,
    check_value_names,
    torn_off,
)
from producer.language.axes.names import (
    TOP_AXES,
    check_axis_name,
    check_label,
    check_name,
    label_of,
)
from producer.language.axes.places import AxisPlace
from producer.language.axes.ranges import is_like_a_range, read_range
from producer.language.axes.tables import MAX_VALUES
from producer.language.mistakes import Finding, Mistake, collecting
from producer.language.settings import Scope, as_text, entries
from producer.language.yaml import Entries, Items, Node, Scalar, is_null

#: Names the generator that is written where a list stands.
_WHOLE = "\0"


class AxisReader:
    """Reads the axes of a file. `findings` and `notes` collect; what is wrong is left out.

    `paths` maps each axis to where it is written; `broken` are the axes with a mistake.
    """

    def __init__(self, scope: Scope, findings: list[Finding], notes: list[str]) -> None:
        self.scope = scope
        self.findings = findings
        self.bundles = BundleReader(scope, findings, notes)
        self.paths: dict[str, str] = {}
        self.broken: set[str] = set()

    def axes(self, top: Mapping[str, Node]) -> Iterator[AnyAxis]:
        """Every axis in the order written."""
        for place in self._places(top):
            if other := self.paths.get(place.name):
                self.findings.append(Finding("axis-twice", {"other": other}, place.path))
                continue
            self.paths[place.name] = place.path
            before = len(self.findings)
            with collecting(self.findings, place.path):
                yield from self._axis(place)
            if len(self.findings) > before:
                self.broken.add(place.name)

    def _places(self, top: Mapping[str, Node]) -> Iterator[AxisPlace]:
        for key, node in top.items():
            if key in TOP_AXES:
                yield AxisPlace(key, TOP_AXES[key], node)
            elif key in ("axes", "words"):
                with collecting(self.findings, key):
                    yield from self._under(key, entries(node, key))

    def _under(self, key: str, written: Entries) -> Iterator[AxisPlace]:
        """The axes that stand under `axes` or `words`."""
        torn = torn_off(written, is_setting if key == "axes" else lambda _: False)
        self.broken |= {*torn, *(name for names in torn.values() for name in names)}
        for name, axis in written.values.items():
            if name in torn and isinstance(axis, Scalar):
                values = ", ".join([axis.text, *torn[name]])
                found = Finding("torn-list", {"name": name, "values": values}, f"{key}.{name}")
                self.findings.append(found)
            elif name not in self.broken:
                yield AxisPlace(f"{key}.{name}", name, axis, name if key == "words" else None)

    def _axis(self, place: AxisPlace) -> Iterator[AnyAxis]:
        """The axis, or nothing where none of its values is right. Raises Mistake."""
        check_axis_name(place)
        if isinstance(place.node, Scalar):
            yield self._short(place, place.node)
        elif values := tuple(self._values(place)):
            yield Axis(name=place.name, values=values)

    def _short(self, place: AxisPlace, node: Scalar) -> AnyAxis:
        """A range, one prompt, or one seed."""
        setting = place.takes
        if setting and place.kind == "numeric" and is_like_a_range(node.text):
            return read_range(place.name, setting, node, self.scope)
        if place.name not in ("prompt", "seed"):
            if setting:
                raise Mistake("list-expected", node)
            raise Mistake("bundles-expected", node, axis=place.name)
        settings = self.bundles.settings(place.setting, node, place.path)
        value = Value(label=as_text(settings[place.setting]), settings=settings)
        return Axis(name=place.name, values=(value,))

    def _values(self, place: AxisPlace) -> Iterator[Value]:
        labels: dict[str, str] = {}
        for count, (path, written) in enumerate(self._each(place), 1):
            if count > MAX_VALUES:
                raise Mistake("too-many-values", most=MAX_VALUES)
            before = len(self.findings)
            with collecting(self.findings, path):
                settings = self._value(place, written, path)
                if len(self.findings) > before:
                    continue
                if written.name is not None:
                    check_name(written.name)
                label = label_of(place, settings) if written.name is None else written.name
                check_label(label, labels)
                labels[label] = path
                yield Value(label=label, settings=settings)

    def _each(self, place: AxisPlace) -> Iterator[tuple[str, Written]]:
        """Every value of the axis with its path: those written, and those generated."""
        for number, (name, node) in enumerate(_named(place), 1):
            entry = f"{number}" if name is None else name
            path = f"{place.path}.{entry}" if entry != _WHOLE else place.path
            with collecting(self.findings, path):
                for written in _some(self._made(place, name, node)):
                    yield f"{path}[{written.place}]" if written.place else path, written

    def _made(self, place: AxisPlace, name: str | None, node: Node) -> Iterator[Written]:
        if key := generator_in(node):
            assert isinstance(node, Entries)
            if name not in (None, _WHOLE):
                raise Mistake("named-generator", key=key)
            return generated(key, node, place.name, place.takes, self.scope)
        numeric = place.takes if place.kind == "numeric" else None
        if numeric and name is None and isinstance(node, Scalar) and is_like_a_range(node.text):
            return in_list(node, place.name, numeric, self.scope)
        return iter([Written("", name, node)])

    def _value(self, place: AxisPlace, written: Written, path: str) -> Settings:
        """What one value sets: a bundle, or the setting that the axis is named after."""
        if written.settings is not None:
            return written.settings
        node, setting = written.node, place.takes
        if isinstance(node, Entries) and not (
            place.name in GROUPS or (setting and setting.owns(node))
        ):
            check_not_a_text(place, written.name, node)
            if place.word and place.word not in node.values:
                raise Mistake("word-without-text", word=place.word)
            return self.bundles.bundle(node, path, place.word or "")
        if setting or place.name in GROUPS:
            return self.bundles.settings(place.setting, node, path)
        if is_null(node):
            return {}
        raise Mistake("not-a-bundle", node, axis=place.name)


def _some(values: Iterator[Written]) -> Iterator[Written]:
    """Raises Mistake where there are none."""
    first = next(values, None)
    if first is None:
        raise Mistake("makes-no-values")
    yield first
    yield from values


def _named(place: AxisPlace) -> list[tuple[str | None, Node]]:
    """The values of an axis, with their names where they have any. Raises Mistake."""
    node = place.node
    if isinstance(node, Items):
        check_commas(place, node)
        named: list[tuple[str | None, Node]] = [(None, value) for value in node.values]
    elif generator_in(node):
        named = [(_WHOLE, node)]
    else:
        assert isinstance(node, Entries)
        check_value_names(place.name, node)
        named = [*node.values.items()]
    if not named:
        raise Mistake("no-values")
    check_is_setting(place, [value for _, value in named])
    return named
