"""`--limit N`: the first N cells of a batch, as a batch of their own.

The first cells of a product are a few boxes: all cells with the first values of the outermost
axis, then those with its next value and the first values of the second axis, and so on. Axes
are cut to what the boxes use, and `only` names the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from common.batch import Batch, Entry, Matrix, Spans, labels_of, spans_of
from producer.trial.where import restricted

#: Positions on each axis.
Box = list[range]


def limited(batch: Batch, count: int) -> Batch:
    """`batch` with its first `count` cells that are not excluded."""
    matrix = Matrix(batch)
    if matrix.cells <= count:
        return batch
    end = next(islice(matrix.numbers(), count - 1, None)) + 1
    boxes = _boxes(end, matrix.lengths)
    used = [Spans(box[i] for box in boxes) for i in range(len(matrix.lengths))]
    only = [_both(entry, box, batch) for box in boxes for entry in batch.only or ({},)]
    if len(boxes) == 1:
        only = list(batch.only)
    cut = batch.model_copy(update={"only": tuple(entry for entry in only if all(entry.values()))})
    axes = zip(batch.axes, used, strict=True)
    return restricted(cut, {axis.name: spans for axis, spans in axes})


def _boxes(end: int, lengths: Sequence[int]) -> list[Box]:
    """The numbers below `end`, row-major, as boxes."""
    boxes: list[Box] = []
    fixed: Box = []
    stride = 1
    for length in lengths:
        stride *= length
    for number, length in enumerate(lengths, 1):
        stride //= length
        position, end = divmod(end, stride)
        if position:
            rest = [range(n) for n in lengths[number:]]
            boxes.append([*fixed, range(position), *rest])
        fixed.append(range(position, position + 1))
    return boxes


def _both(entry: Entry, box: Box, batch: Batch) -> dict[str, tuple[str, ...]]:
    """The cells of the box that the entry keeps, as an entry."""
    wanted = {}
    for axis, inside in zip(batch.axes, box, strict=True):
        if axis.name in entry:
            spans = spans_of(axis, entry[axis.name])
            wanted[axis.name] = labels_of(axis, spans & Spans([inside]))
        elif len(inside) < axis.count:
            wanted[axis.name] = labels_of(axis, Spans([inside]))
    return wanted
