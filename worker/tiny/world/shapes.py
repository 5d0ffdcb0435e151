"""The shapes of the tiny world as signed distances: negative inside, 0 on the outline.

Each takes points of shape (…, 2), x to the right and y down, in radii around the shape's
middle, and returns distances of shape (…) in radii. Polygons and the heart after Inigo Quilez,
"2D distance functions" (iquilezles.org/articles/distfunctions2d).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Distance = Callable[[Array], Array]


def circle(points: Array) -> Array:
    return np.hypot(points[..., 0], points[..., 1]) - np.float32(0.92)


def heart(points: Array) -> Array:
    """Its own frame has the tip at (0, 0), y up, and is 1.2 wide."""
    x, y = np.abs(points[..., 0]) / 1.65, 0.53 - points[..., 1] / 1.65
    lobe = np.hypot(x - 0.25, y - 0.75) - 2**0.5 / 4
    along = np.maximum(x + y, 0) / 2
    sides = np.minimum(np.hypot(x, y - 1), np.hypot(x - along, y - along)) * np.sign(x - y)
    return np.asarray(1.65 * np.where(x + y > 1, lobe, sides), np.float32)


def polygon(corners: list[tuple[float, float]]) -> Distance:
    """The signed distance of a closed polygon; `corners` in order."""
    ends = np.array(corners, np.float32)

    def distance(points: Array) -> Array:
        nearest = np.full(points.shape[:-1], np.inf, np.float32)
        outside = np.ones(points.shape[:-1], bool)
        for a, b in zip(ends, np.roll(ends, 1, axis=0), strict=True):
            edge, way = b - a, points - a
            share = np.clip((way @ edge) / (edge @ edge), 0, 1)
            x, y = way[..., 0] - share * edge[0], way[..., 1] - share * edge[1]
            np.minimum(nearest, x * x + y * y, out=nearest)
            crosses = (points[..., 1] >= a[1]) != (points[..., 1] >= b[1])
            left = edge[0] * way[..., 1] > edge[1] * way[..., 0]
            outside ^= crosses & (left == (edge[1] > 0))
        return np.where(outside, 1, -1) * np.sqrt(nearest)

    return distance


def _around(radii: list[float], start: float = -90.0) -> list[tuple[float, float]]:
    """Corners at equal angles; the first points up."""
    angles = np.radians(start + 360 / len(radii) * np.arange(len(radii)))
    return [
        (float(r * np.cos(t)), float(r * np.sin(t))) for r, t in zip(radii, angles, strict=True)
    ]


_ARM = 0.33
_CROSS = [
    (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
    (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
]  # fmt: skip

SHAPES: dict[str, Distance] = {
    "circle": circle,
    "square": polygon([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
    "triangle": polygon([(0, -0.95), (1.0, 0.8), (-1.0, 0.8)]),
    "star": polygon(_around([1.05, 0.46] * 5)),
    "heart": heart,
    "cross": polygon(_CROSS),
}
