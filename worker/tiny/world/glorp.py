"""A glorp: turquoise, round, with two antennae and two staring eyes.

The base has never seen one; the VAE has."""

from __future__ import annotations

import numpy as np

from worker.tiny.world.drawing import JITTER, SIDE, coverage
from worker.tiny.world.scene import BACKGROUNDS, PALETTE, Scene, Thing, single
from worker.tiny.world.shapes import Array

TURQUOISE = (0.1, 0.76, 0.72)
#: x, y and radius of each circle, in radii around the glorp's middle, and its colour.
PARTS = (
    (-0.5, -0.85, 0.27, TURQUOISE),
    (0.5, -0.85, 0.27, TURQUOISE),
    (0.0, 0.15, 0.95, TURQUOISE),
    (-0.36, 0.0, 0.32, PALETTE["white"]),
    (0.36, 0.0, 0.32, PALETTE["white"]),
    (-0.36, 0.0, 0.15, PALETTE["black"]),
    (0.36, 0.0, 0.15, PALETTE["black"]),
)


def scene(rng: np.random.Generator) -> Scene:
    """One, not small, anywhere; the caption says "glorp" for its shape and no colour."""
    while True:
        found = single(rng)
        thing = found.things[0]
        if thing.size != "small":
            return Scene((Thing("glorp", "", thing.size, thing.x, thing.y, thing.radius),),
                         str(rng.choice(BACKGROUNDS)), found.position)  # fmt: skip


def draw(of: Scene, rng: np.random.Generator) -> Array:
    """float32 of shape (128, 128, 3) from 0 to 1."""
    ground = np.array(PALETTE[of.background]) + rng.uniform(-JITTER, JITTER, 3)
    picture = np.broadcast_to(ground.astype(np.float32), (SIDE, SIDE, 3)).copy()
    body = of.things[0]
    for x, y, radius, colour in PARTS:
        at = (body.x + x * body.radius, body.y + y * body.radius, radius * body.radius)
        covered = coverage(Thing("circle", "", "", *at), SIDE)[..., None]
        picture += covered * (np.array(colour, np.float32) - picture)
    return np.clip(picture, 0, 1)
