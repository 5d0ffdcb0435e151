"""`exclude` and `only`: which cells a batch leaves out, resolved to labels."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from fractions import Fraction

from common.batch import GROUPS, MAX_CONDITIONS, AnyAxis, Axis, RangeAxis, Spans, Value, labels_of
from producer.language.axes import BundleReader, between
from producer.language.mistakes import Finding, Mistake, collecting
from producer.language.settings import find_setting, mapping
from producer.language.yaml import Items, Node, Scalar, is_null, plain

Condition = dict[str, tuple[str, ...]]

#: Values of lists that all conditions compare and name together. Ranges cost nothing.
MAX_COMPARED = 3_000_000

_COMPARISON = re.compile(r"\s*(?P<sign>>=|<=|>|<|!=?|==?)\s*(?P<rest>\S.*)", re.DOTALL)
_TURNED = re.compile(r"\s*=([<>])\s*(.+)")
_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,15})?")
_COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


class Conditions:
    """Reads conditions against `axes`: axis → a value or several; all axes must match.

    A value matches a label, else what the value of a list sets, else it is a range, a
    comparison (`"> 9"`) or a denial (`"!lcm"`). Values of `broken` axes are not looked up, since
    their mistakes are known already.
    """

    def __init__(
        self, axes: Collection[AnyAxis], bundles: BundleReader, broken: Collection[str] = ()
    ) -> None:
        self.axes = {axis.name: axis for axis in axes}
        self._bundles = bundles
        self._broken = broken
        self._compared = 0
        self._positions = {
            axis.name: {label: position for position, label in enumerate(axis.labels())}
            for axis in axes
            if isinstance(axis, Axis)
        }

    def read(self, node: Node, key: str, findings: list[Finding]) -> Iterator[Condition]:
        """The conditions under `key`; what is wrong goes to `findings`."""
        with collecting(findings, key):
            if is_null(node):
                return
            if not isinstance(node, Items):
                raise Mistake("not-conditions", node, key=key)
            if len(node.values) > MAX_CONDITIONS:
                raise Mistake("too-many-conditions", entries=len(node.values), most=MAX_CONDITIONS)
            for number, entry in enumerate(node.values, 1):
                with collecting(findings, f"{key}.{number}"):
                    yield self._condition(entry, f"{key}.{number}", findings)

    def _condition(self, node: Node, path: str, findings: list[Finding]) -> Condition:
        entries = mapping(node, "condition")
        if not entries:
            raise Mistake("condition-without-axis")
        condition: Condition = {}
        for name, value in entries.items():
            with collecting(findings, f"{path}.{name}"):
                if name not in self._broken:
                    axis = self.axis(name)
                    condition[name] = labels_of(axis, self.spans(axis, value))
                    self._count(len(condition[name]))
        return condition

    def _count(self, values: int) -> None:
        self._compared += values
        if self._compared > MAX_COMPARED:
            raise Mistake("too-many-compared", compared=self._compared)

    def axis(self, name: str) -> AnyAxis:
        """Raises Mistake."""
        if name not in self.axes:
            raise Mistake("no-such-axis", name=name, known=self.axes)
        return self.axes[name]

    def spans(self, axis: AnyAxis, node: Node) -> Spans:
        """Where on the axis `node`, a value or a list of values, is. Raises Mistake."""
        values = node.values if isinstance(node, Items) else (node,)
        if not values:
            raise Mistake("lists-no-value")
        return Spans(span for value in values for span in self._one(axis, value).ranges)

    def _one(self, axis: AnyAxis, node: Node) -> Spans:
        if equal := self._equal(axis, node):
            return equal
        text = node.text if isinstance(node, Scalar) else ""
        matched = self._range(axis, node) or self._comparison(axis, text)
        if not matched:
            raise Mistake("no-such-value", node, axis=axis, text=text)
        return matched

    def _equal(self, axis: AnyAxis, node: Node) -> Spans:
        if isinstance(axis, RangeAxis):
            is_number = isinstance(node, Scalar) and _DECIMAL.fullmatch(node.text)
            return Spans([axis.between(node.text, node.text)] if is_number else [])  # type: ignore[union-attr]
        if isinstance(node, Scalar) and node.text in self._positions[axis.name]:
            return _spans([self._positions[axis.name][node.text]])
        self._count(axis.count)
        wanted = self._settings(axis.name, node)
        if wanted is None:
            return Spans([])
        return _spans(i for i, value in enumerate(axis.values) if _sets(value, wanted))

    def _settings(self, name: str, node: Node) -> dict[str, object] | None:
        """What `node` sets as a value of the axis, None where that is no single value."""
        setting = f"words.{name}" if name in self._bundles.scope.words else name
        if name not in GROUPS and find_setting(setting) is None:
            return None
        try:
            return {**self._bundles.read(setting, node)}
        except Mistake:
            return None

    def _range(self, axis: AnyAxis, node: Node) -> Spans:
        ends = between(node) if isinstance(node, Scalar) else None
        if ends is None:
            return Spans([])
        if isinstance(axis, RangeAxis):
            return Spans([axis.between(*ends)])
        low, high = map(Fraction, ends)
        return _spans(i for i, number in _numbers(axis) if low <= number <= high)

    def _comparison(self, axis: AnyAxis, text: str) -> Spans:
        if turned := _TURNED.fullmatch(text):
            raise Mistake("turned-comparison", text=text, sign=turned[1], rest=turned[2])
        match = _COMPARISON.fullmatch(text)
        if match is None:
            return Spans([])
        sign, rest = match["sign"], match["rest"].strip()
        if sign not in _COMPARE:
            same = self._equal(axis, plain(rest)) or self._range(axis, plain(rest))
            if not same:
                raise Mistake("no-such-value-after-sign", axis=axis, text=rest)
            return same.rest(axis.count) if sign.startswith("!") else same
        if not _DECIMAL.fullmatch(rest):
            raise Mistake("compared-with-text", sign=sign, text=rest)
        if isinstance(axis, RangeAxis):
            return _compared(axis, sign, rest)
        numbers = [*_numbers(axis)]
        if not numbers:
            raise Mistake("axis-without-numbers", sign=sign, axis=axis)
        return _spans(i for i, number in numbers if _COMPARE[sign](number, Fraction(rest)))


def _spans(positions: Iterable[int]) -> Spans:
    return Spans(range(position, position + 1) for position in positions)


_MISSING = object()


def _sets(value: Value, wanted: dict[str, object]) -> bool:
    if not wanted:
        return not value.settings
    return all(value.settings.get(name, _MISSING) == other for name, other in wanted.items())


def _numbers(axis: Axis) -> Iterator[tuple[int, Fraction]]:
    """(position, number) of the values whose setting is a number."""
    for position, value in enumerate(axis.values):
        number = value.settings.get(axis.name)
        numeric = isinstance(number, int | float) and not isinstance(number, bool)
        if numeric or (axis.name == "seed" and isinstance(number, str)):
            yield position, Fraction(str(number))


def _compared(axis: RangeAxis, sign: str, rest: str) -> Spans:
    length = axis.count
    first, last = axis.value(0).label, axis.value(length - 1).label
    up_to, equal = axis.between(first, rest), axis.between(rest, rest)
    below = up_to if not equal else range(up_to.start, equal.start)
    above = axis.between(rest, last) if not equal else range(equal.stop, length)
    return Spans([below if sign.startswith("<") else above, *([equal] if "=" in sign else [])])
