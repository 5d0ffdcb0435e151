"""`--where prompt=wolf`: some values of an axis, as a person names them, and a batch of those
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from common.batch import Axis, Batch, Entry, Matrix, RangeAxis, Spans, labels_of, spans_of
from common.errors import UsageError
from common.text import meant
from producer.language import Conditions, with_references, words_of
from producer.language.axes import AxisReader
from producer.language.settings import Mistake, Scope
from producer.language.yaml import plain

_COMPARED = re.compile(r"\s*[<>!]")
_WRITTEN = re.compile(r"(?P<axis>[^=<>!]+?)\s*(?P<sign>>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)


def parse_where(options: Iterable[str]) -> dict[str, list[str]]:
    """`prompt=wolf`, `guidance_scale>9`, `variant!=base`: axis → what its values must be: any of
    those that are named, and all comparisons. Raises UsageError."""
    where: dict[str, list[str]] = {}
    for option in options:
        match = _WRITTEN.fullmatch(option.strip())
        if match is None:
            raise UsageError(
                f"--where {option!r} is not AXIS=VALUE", hint="write --where prompt=wolf"
            )
        sign = "" if match["sign"] == "=" else match["sign"]
        where.setdefault(match["axis"].strip(), []).append(sign + match["value"].strip())
    return where


def find_values(axis: Axis | RangeAxis, written: Sequence[str], batch: Batch) -> Spans:
    """Where on the axis the values are that a person names by label, value, range (`0..9`),
    comparison (`> 9`), several of them with commas, or a part of their labels. Any of those
    that are named, and all comparisons.

    Raises UsageError.
    """
    scope = Scope(dict.fromkeys(batch.loras, ""), frozenset(words_of(batch)))
    conditions = Conditions([axis], AxisReader(scope, [], []))
    named = [text for text in written if not _COMPARED.match(text)]
    kept = Spans(span for text in named for span in _found(conditions, axis, text).ranges)
    for text in written:
        if _COMPARED.match(text):
            found = _found(conditions, axis, text)
            kept = found if not (kept or named) else kept & found
            named.append(text)
    return kept


def _found(conditions: Conditions, axis: Axis | RangeAxis, text: str) -> Spans:
    try:
        return conditions.spans(axis, plain(text))
    except Mistake as mistake:
        if "," in text:
            parts = [part for part in text.split(",") if part.strip()]
            return Spans(s for part in parts for s in _found(conditions, axis, part.strip()).ranges)
        if found := _partly(axis, text):
            return found
        problem = mistake.problems[0]
        about = "" if axis.name in problem.message else f"{axis.name}: "
        raise UsageError(about + problem.message, hint=problem.hint) from None


def _partly(axis: Axis | RangeAxis, text: str) -> Spans:
    if isinstance(axis, RangeAxis) or not text.strip():
        return Spans([])
    part = text.casefold()
    found = (at for at, label in enumerate(axis.labels()) if part in label.casefold())
    return Spans(range(at, at + 1) for at in found)


def only_where(batch: Batch, options: Iterable[str]) -> Batch:
    """`batch` with the values that `--where` options keep. Raises UsageError."""
    axes = {axis.name: axis for axis in batch.axes}
    kept = {}
    for name, written in parse_where(options).items():
        if name not in axes:
            raise UsageError(f"--where: there is no axis {name!r}", hint=meant(name, axes))
        kept[name] = find_values(axes[name], written, batch)
    return restricted(batch, kept)


def restricted(batch: Batch, kept: Mapping[str, Spans]) -> Batch:
    """`batch` with only these positions of its axes, and all that the others needed left out.

    Raises UsageError where no cell is left.
    """
    axes = tuple(_part(axis, kept[axis.name]) if axis.name in kept else axis for axis in batch.axes)
    return with_axes(batch, axes)


def with_axes(batch: Batch, axes: tuple[Axis | RangeAxis, ...]) -> Batch:
    """`batch` with other axes of the same names; conditions that can no longer match go.

    Raises UsageError where no cell is left.
    """
    exclude, only = ([*_pruned(entries, axes)] for entries in (batch.exclude, batch.only))
    update = {"axes": axes, "exclude": tuple(exclude), "only": tuple(only)}
    changed = with_references(batch.model_copy(update=update))
    if (batch.only and not only) or Matrix(changed).cells == 0:
        raise UsageError("no cell is left", hint="exclude and only of the batch hold here too")
    return changed


def _part(axis: Axis | RangeAxis, kept: Spans) -> Axis | RangeAxis:
    if isinstance(axis, Axis):
        return axis.model_copy(update={"values": tuple(axis.value(at) for at in kept)})
    if len(kept.ranges) > 1:
        return Axis(name=axis.name, values=tuple(axis.value(at) for at in kept))
    [positions] = kept.ranges
    first, last = axis.value(positions[0]).label, axis.value(positions[-1]).label
    step = axis.step if len(positions) > 1 else "1"
    return RangeAxis(name=axis.name, first=first, last=last, step=step)


def _pruned(
    entries: Iterable[Entry], axes: tuple[Axis | RangeAxis, ...]
) -> Iterable[dict[str, tuple[str, ...]]]:
    by_name = {axis.name: axis for axis in axes}
    for entry in entries:
        left = {
            name: labels_of(by_name[name], spans_of(by_name[name], labels))
            for name, labels in entry.items()
        }
        if all(left.values()):
            yield left
