"""The connected pieces of a picture that differ from its background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.tiny.world.shapes import Array

#: From this distance of colours on, a pixel belongs to something.
DIFFERENT = 0.12

#: Pixels of the smallest thing, and of the smallest thing that should not be there.
LEAST, SPECK = 60, 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """`core` is its inside without the mixed colours of its outline, `near` itself and what it
    may have faded into. The box holds it at half of its colour, in pixels."""

    core: Mask
    near: Mask
    left: int
    right: int
    top: int
    bottom: int


def pieces(distance: Array, least: int = LEAST) -> tuple[list[Piece], int]:
    """Pieces, the largest first, and the number of specks; `distance` is each pixel's from the
    background's colour, `least` how many pixels make a piece."""
    labels = label(distance > DIFFERENT)
    sizes = np.bincount(labels.ravel())[1:]
    large = [n + 1 for n in np.argsort(-sizes) if sizes[n] >= least]
    specks = int(((sizes >= SPECK) & (sizes < least)).sum())
    return [_piece(labels == number, distance) for number in large], specks


def spots(mask: Mask) -> int:
    """How many pieces of a mask are more than a stray pixel or two."""
    return int((np.bincount(label(mask).ravel())[1:] >= SPECK).sum())


def holes(mask: Mask) -> int:
    """How many spots of what is not in the mask lie inside it."""
    around = label(~mask)
    edge = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
    return spots(~mask & ~np.isin(around, edge))


def _piece(mask: Mask, distance: Array) -> Piece:
    strength = np.quantile(distance[mask], 0.7)
    half = mask & (distance > strength / 2)
    core = mask & (distance > 0.5 * strength) & eroded(half)
    if core.sum() < 12:
        core = half & (distance > 0.85 * strength)
    rows, columns = np.flatnonzero(half.any(1)), np.flatnonzero(half.any(0))
    near = ~eroded(~mask, 2)
    return Piece(core, near, columns[0], columns[-1] + 1, rows[0], rows[-1] + 1)


def eroded(mask: Mask, times: int = 2) -> Mask:
    """Without the pixels at its edge; the picture's border is no edge."""
    for _ in range(times):
        padded = np.pad(mask, 1, mode="edge")
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def label(mask: Mask) -> NDArray[np.int64]:
    """Numbers the 8-connected pieces from 1, in the order of their first pixels; 0 is none."""
    starts, ends, width = _runs(mask)
    first = np.searchsorted(ends, starts - width)
    last = np.searchsorted(starts, ends - width, side="right")
    parent = list(range(len(starts)))
    for run, (begin, end) in enumerate(zip(first, last, strict=True)):
        for above in range(begin, end):
            one, two = sorted((_root(parent, run), _root(parent, above)))
            parent[two] = one
    roots = [_root(parent, run) for run in range(len(parent))]
    numbers = np.unique(roots, return_inverse=True)[1] + 1
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.repeat(numbers, ends - starts)
    return labels


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Where runs of pixels in a row start and end, counted through all rows, and how long a row
    is counted: a pixel longer at both ends, so that no run touches one of another row's end."""
    padded = np.pad(mask, 1)
    steps = np.diff(padded.ravel().astype(np.int8))
    return np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1) + 1, padded.shape[1]


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        number = parent[number]
    return number
