"""`--where prompt=wolf`: a batch of some values of its axes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.batch import AnyAxis, Axis, Batch, Entry, Matrix, RangeAxis, Spans, labels_of, spans_of
from common.errors import UsageError
from producer.language import find_where, with_references


def only_where(batch: Batch, options: Iterable[str]) -> Batch:
    """`batch` with the values that `--where` options keep. Raises UsageError."""
    return restricted(batch, find_where(batch, options))


def restricted(batch: Batch, kept: Mapping[str, Spans]) -> Batch:
    """`batch` with only these positions of its axes, and all that the others needed left out.

    Raises UsageError where no cell is left.
    """
    axes = tuple(_part(axis, kept[axis.name]) if axis.name in kept else axis for axis in batch.axes)
    return with_axes(batch, axes)


def with_axes(batch: Batch, axes: tuple[AnyAxis, ...]) -> Batch:
    """`batch` with other axes of the same names; conditions that can no longer match go.

    Raises UsageError where no cell is left.
    """
    exclude, only = ([*_pruned(entries, axes)] for entries in (batch.exclude, batch.only))
    update = {"axes": axes, "exclude": tuple(exclude), "only": tuple(only)}
    changed = with_references(batch.model_copy(update=update))
    if (batch.only and not only) or Matrix(changed).cells == 0:
        raise UsageError("no cell is left", hint="exclude and only of the batch hold here too")
    return changed


def _part(axis: AnyAxis, kept: Spans) -> AnyAxis:
    if isinstance(axis, Axis):
        return axis.model_copy(update={"values": tuple(axis.value(position) for position in kept)})
    if len(kept.ranges) > 1:
        return Axis(name=axis.name, values=tuple(axis.value(position) for position in kept))
    [positions] = kept.ranges
    first, last = axis.value(positions[0]).label, axis.value(positions[-1]).label
    step = axis.step if len(positions) > 1 else "1"
    return RangeAxis(name=axis.name, first=first, last=last, step=step)


def _pruned(
    entries: Iterable[Entry], axes: tuple[AnyAxis, ...]
) -> Iterable[dict[str, tuple[str, ...]]]:
    by_name = {axis.name: axis for axis in axes}
    for entry in entries:
        pruned = {
            name: labels_of(by_name[name], spans_of(by_name[name], labels))
            for name, labels in entry.items()
        }
        if all(pruned.values()):
            yield pruned
