"""`exclude` and `only`: which cells a batch leaves out, resolved to labels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from common.batch import Axis, RangeAxis
from common.errors import Problem
from common.spec_values import SETTINGS, Mistake, Scope, is_null, mapping, noting
from common.spec_yaml import NULL, Items, Node, Scalar
from common.suggest import meant

Condition = dict[str, tuple[str, ...]]

_COMPARISON = re.compile(r"\s*([<>]=?|!=?|==?)\s*\S")


class Conditions:
    """Reads conditions against `axes`: axis → a value or several; all axes must match.

    A value matches a label, else the setting that the axis is named after. Values of `broken`
    axes are not looked up, since their mistakes are known already.
    """

    def __init__(
        self, axes: tuple[Axis | RangeAxis, ...], scope: Scope, broken: Collection[str]
    ) -> None:
        self.axes = {axis.name: axis for axis in axes}
        self.labels = {axis.name: {*axis.labels()} for axis in axes if isinstance(axis, Axis)}
        self.scope = scope
        self.broken = broken

    def read(self, node: Node, key: str, problems: list[Problem]) -> Iterator[Condition]:
        """The conditions under `key`; what is wrong goes to `problems`."""
        with noting(problems, key):
            if is_null(node):
                return
            if not isinstance(node, Items):
                raise Mistake(f"must be a list, not {node}", f"write {key}: [{{axis: value}}]")
            for number, entry in enumerate(node.values, 1):
                with noting(problems, f"{key}.{number}"):
                    yield self._condition(entry, f"{key}.{number}", problems)

    def _condition(self, node: Node, path: str, problems: list[Problem]) -> Condition:
        written = mapping(node, "{axis: value}")
        if not written:
            raise Mistake("names no axis, so it would match every cell", "write {axis: value}")
        condition: Condition = {}
        for name, value in written.items():
            with noting(problems, f"{path}.{name}"):
                condition[name] = self._labels(name, value)
        return condition

    def _labels(self, name: str, node: Node) -> tuple[str, ...]:
        """The labels of axis `name` that `node`, a value or a list of values, stands for."""
        if name in self.broken:
            return ()
        if name not in self.axes:
            raise Mistake("is not an axis of this batch", meant(name, self.axes))
        values = node.values if isinstance(node, Items) else (node,)
        if not values:
            raise Mistake("lists no value", "write at least one")
        labels = (label for value in values for label in self._matching(self.axes[name], value))
        return tuple(dict.fromkeys(labels))

    def _matching(self, axis: Axis | RangeAxis, node: Node) -> list[str]:
        found = _in_range(axis, node) if isinstance(axis, RangeAxis) else self._in_list(axis, node)
        if found:
            return found
        text = node.text if isinstance(node, Scalar) else ""
        if _COMPARISON.match(text):
            raise Mistake(f"the comparison {node} is not yet supported", "list the values in [ ]")
        raise Mistake(f"no value of {axis.name} is {node}", _nearest(axis, text))

    def _in_list(self, axis: Axis, node: Node) -> list[str]:
        if isinstance(node, Scalar) and node.text in self.labels[axis.name]:
            return [node.text]
        if axis.name not in SETTINGS:
            return []
        try:
            wanted = SETTINGS[axis.name].read(node, self.scope)
        except Mistake:
            return []
        same = (v for v in axis.values if v.settings.get(axis.name, NULL) == wanted)
        return [value.label for value in same]


def _in_range(axis: RangeAxis, node: Node) -> list[str]:
    if not isinstance(node, Scalar) or type(node.value) is not int:
        return []
    numbers = range(int(axis.first), int(axis.last) + 1, int(axis.step))
    return [str(node.value)] if node.value in numbers else []


def _nearest(axis: Axis | RangeAxis, text: str) -> str:
    if isinstance(axis, RangeAxis):
        step = "" if axis.step == "1" else f" by {axis.step}"
        return f"it has {axis.first}..{axis.last}{step}"
    return meant(text, axis.labels())
