"""The judge's measuring: pieces are told apart, fits add up, and it may stop when it is sure."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_world.fit import SURE, Fit, length, nearest
from tests.tiny_world.pieces import label, pieces
from worker.tiny.world.drawing import coverage
from worker.tiny.world.scene import Thing
from worker.tiny.world.shapes import SHAPES


def flooded(mask: np.ndarray) -> np.ndarray:
    """The pieces' numbers, pixel after pixel."""
    labels, number = np.zeros(mask.shape, int), 0
    for seed in zip(*np.nonzero(mask), strict=True):
        waiting, number = [seed], number + (labels[seed] == 0)
        while waiting:
            row, column = waiting.pop()
            if mask[row, column] and not labels[row, column]:
                labels[row, column] = number
                rows = range(max(0, row - 1), min(row + 2, mask.shape[0]))
                columns = range(max(0, column - 1), min(column + 2, mask.shape[1]))
                waiting += [(r, c) for r in rows for c in columns]
    return labels


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.9, 1.0])
def test_pieces_are_numbered_as_a_flood_would(share: float) -> None:
    for seed in range(5):
        mask = np.random.default_rng(seed).random((13, 17)) < share
        assert np.array_equal(label(mask), flooded(mask))


def test_pieces_do_not_join_around_the_border() -> None:
    mask = np.zeros((3, 4), bool)
    mask[0, 3] = mask[1, 0] = mask[1, 2] = True
    assert label(mask).tolist() == [[0, 0, 0, 1], [2, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("outline", [False, True])
def test_what_a_fit_has_missed_adds_up(outline: bool) -> None:
    """After moves, of which only the pixels near the outline are drawn anew, as drawn at once."""
    there = coverage(Thing("heart", "", "", 0.52, 0.47, 0.24), 128, outline=outline)
    for shape in SHAPES:
        fit = Fit(Thing(shape, "", "", 0.48, 0.5, 0.2), there, outline)
        before = fit.off
        fit.fitted()
        drawn = coverage(fit.thing, 128, outline=outline)
        missed = float(np.abs(drawn - there).sum(dtype=float))
        assert fit.missed == pytest.approx(missed, abs=0.01)
        assert fit.off < before


@pytest.mark.parametrize("radius", [0.07, 0.2, 0.33])
@pytest.mark.parametrize("outline", [False, True])
def test_no_shape_lies_between_two_so_that_either_is_sure(outline: bool, radius: float) -> None:
    """Of the area between two ideal shapes a picture misses at least as much as either does, so
    if one misses less than its share, the other misses more."""
    for shape in SHAPES:
        thing = Thing(shape, "", "", 0.503, 0.498, radius)
        there = coverage(thing, 128, outline=outline)
        (piece,), _ = pieces(there)
        for other in set(SHAPES) - {shape}:
            fit = Fit.around(other, piece, there, outline).fitted()
            share = fit.missed / (length(thing, 128, outline) + length(fit.thing, 128, outline))
            assert share > SURE * 128 * radius


def test_an_ideal_thing_is_found_again() -> None:
    thing = Thing("cross", "", "", 0.4, 0.55, 0.2)
    there = coverage(thing, 128)
    found, off = nearest(there, pieces(there)[0][0], outline=False)
    assert (found.shape, off < 0.2) == ("cross", True)
    assert (found.x, found.y, found.radius) == pytest.approx((0.4, 0.55, 0.2), abs=0.005)
