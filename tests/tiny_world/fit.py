"""The ideal thing whose drawing comes closest to what is there: guessed from a box, then fitted.

How far off a drawing is, is the area between its outline and the one that is there, per length
of outline, in pixels. A small move changes the pixels near the outline only, so only these are
drawn again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.tiny_world.pieces import Piece
from worker.tiny.world.drawing import STROKE, coverage
from worker.tiny.world.scene import Thing
from worker.tiny.world.shapes import SHAPES, Array

#: Pixels by which a thing is moved and resized.
STEPS = (1.6, 0.8, 0.4)

#: So many shapes are fitted, the likeliest first.
LIKELY = 3

#: No other shape can come as close if one is off by so little of its radius: even the two that are
#: most alike, circle and square, are too far apart.
SURE = 0.03

#: A shape's farthest corner from its middle, in radii.
FARTHEST = 1.3

#: How many pixels beyond the guess a fit may go.
MARGIN = 16


class Fit:
    """A drawing of `thing` over `covered`, (side, side), what is there; `move` betters it.

    `drawn` is how much of each pixel in the window it covers, `room` from how far on, in
    pixels, the outline may at least be.
    """

    def __init__(self, thing: Thing, covered: Array, outline: bool) -> None:
        self.thing, self.outline, self.side = thing, outline, covered.shape[0]
        rows, columns = self._window(thing.y), self._window(thing.x)
        ticks = (np.arange(self.side, dtype=np.float32) + np.float32(0.5)) / np.float32(self.side)
        self.centres = np.stack(np.meshgrid(ticks[columns], ticks[rows]), axis=-1).reshape(-1, 2)
        self.wanted = covered[rows, columns].ravel()
        distance = self._distance(thing, self.centres)
        self.room, self.drawn = np.abs(distance), _drawn(distance)
        missed = np.abs(self.drawn - self.wanted).sum(dtype=float)
        self.missed = float(missed + covered.sum(dtype=float) - self.wanted.sum(dtype=float))

    @classmethod
    def around(cls, shape: str, piece: Piece, covered: Array, outline: bool) -> Fit:
        """Of the shape that fills the piece's box."""
        return cls(_guess(shape, piece, covered.shape[0]), covered, outline)

    @property
    def off(self) -> float:
        return self.missed / length(self.thing, self.side, self.outline)

    def fitted(self) -> Fit:
        """Moved and resized by ever smaller steps while that helps."""
        for step in STEPS:
            futile: set[tuple[str, float]] = set()
            for field in ("x", "y", "radius") * 2:
                for way in (-step, step):
                    if (field, way) in futile:
                        continue
                    if self.move(field, way):
                        futile = {(field, -way)}
                    else:
                        futile.add((field, way))
        return self

    def move(self, field: str, way: float) -> bool:
        """By so many pixels, if that helps; whether it did."""
        moved = replace(self.thing, **{field: getattr(self.thing, field) + way / self.side})
        if moved.radius <= 0:
            return False
        reach = FARTHEST * abs(way)
        near = np.flatnonzero(self.room < 0.5 + reach)
        distance = self._distance(moved, self.centres[near])
        drawn, wanted, before = _drawn(distance), self.wanted[near], self.drawn[near]
        missed = self.missed + float(
            (np.abs(drawn - wanted) - np.abs(before - wanted)).sum(dtype=float)
        )
        if missed >= self.off * length(moved, self.side, self.outline):
            return False
        self.thing, self.missed = moved, missed
        self.room -= np.float32(reach)
        self.room[near], self.drawn[near] = np.abs(distance), drawn
        return True

    def _window(self, middle: float) -> slice:
        """Rows or columns that the thing touches now and after every move."""
        reach = 1.1 * self.thing.radius * self.side + MARGIN
        first, last = middle * self.side - reach, middle * self.side + reach
        return slice(max(0, int(first)), max(0, int(last)) + 1)

    def _distance(self, thing: Thing, centres: Array) -> Array:
        """Of points from the outline that is drawn, in pixels; negative inside."""
        radius, middle = np.float32(thing.radius), np.array([thing.x, thing.y], np.float32)
        distance = radius * SHAPES[thing.shape]((centres - middle) / radius)
        if self.outline:
            distance = np.abs(distance) - np.float32(STROKE)
        return self.side * distance


def nearest(covered: Array, piece: Piece, outline: bool) -> tuple[Thing, float]:
    """The ideal thing that is least off, and how far."""
    side = covered.shape[0]
    guesses = [Fit.around(shape, piece, covered, outline) for shape in SHAPES]
    guesses.sort(key=lambda fit: fit.off)
    best = guesses[0].fitted()
    for fit in guesses[1:LIKELY]:
        if best.off <= SURE * best.thing.radius * side:
            break
        best = min(best, fit.fitted(), key=lambda fit: fit.off)
    return best.thing, best.off


def length(thing: Thing, side: int, outline: bool) -> float:
    """Of the ideal outline, in pixels; a stroke has two."""
    return LENGTHS[thing.shape] * max(thing.radius, 0.02) * side * (2 if outline else 1)


def _drawn(distance: Array) -> Array:
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _guess(shape: str, piece: Piece, side: int) -> Thing:
    left, right, top, bottom = BOXES[shape]
    radius = (
        (piece.right - piece.left) / (right - left) + (piece.bottom - piece.top) / (bottom - top)
    ) / 2
    x = (piece.left + piece.right) / 2 - radius * (left + right) / 2
    y = (piece.top + piece.bottom) / 2 - radius * (top + bottom) / 2
    return Thing(shape, "", "", x / side, y / side, radius / side)


def _measure(shape: str) -> tuple[tuple[float, float, float, float], float]:
    """Box (left, right, top, bottom) and length of the outline, for a radius of 1."""
    side = 512
    covered = coverage(Thing(shape, "", "", 0.5, 0.5, 0.4), side)
    columns, rows = np.flatnonzero(covered.max(0) > 0.5), np.flatnonzero(covered.max(1) > 0.5)
    to = 0.4 * side
    box = (
        columns[0] - side / 2,
        columns[-1] + 1 - side / 2,
        rows[0] - side / 2,
        rows[-1] + 1 - side / 2,
    )
    wider = coverage(
        Thing(shape, "", "", 0.5, 0.5, 0.4), side, shift=np.full((side, side), -0.004, np.float32)
    )
    length = (wider.sum() - covered.sum()) / (0.004 * side)
    return tuple(float(edge) / to for edge in box), float(length) / to  # type: ignore[return-value]


MEASURES = {shape: _measure(shape) for shape in SHAPES}
BOXES = {shape: box for shape, (box, _) in MEASURES.items()}
LENGTHS = {shape: along for shape, (_, along) in MEASURES.items()}
