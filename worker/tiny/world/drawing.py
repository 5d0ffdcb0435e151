"""Scene → picture: float32 of shape (128, 128, 3) from 0 to 1, anti-aliased."""

from __future__ import annotations

import numpy as np

from worker.tiny.world.degrade import degraded, wobble
from worker.tiny.world.scene import PALETTE, Scene, Thing
from worker.tiny.world.shapes import SHAPES, Array

SIDE = 128
#: Half the width of an outline.
STROKE = 0.02

#: How much a colour varies from picture to picture.
JITTER = 0.025


def draw(scene: Scene, rng: np.random.Generator) -> Array:
    """The scene with its style and its flaws; `rng` gives what no word says."""
    ground = styled(PALETTE[scene.background], scene.style) + rng.uniform(-JITTER, JITTER, 3)
    picture = np.broadcast_to(ground.astype(np.float32), (SIDE, SIDE, 3)).copy()
    for thing in scene.things:
        colour = styled(PALETTE[thing.colour], scene.style) + rng.uniform(-JITTER, JITTER, 3)
        shift = wobble(rng, SIDE) if "wobbly" in scene.flaws else None
        covered = coverage(thing, SIDE, outline=scene.style == "outline", shift=shift)
        picture += covered[..., None] * (colour.astype(np.float32) - picture)
    return np.clip(degraded(picture, scene.flaws, rng), 0, 1)


def coverage(
    thing: Thing, side: int, *, outline: bool = False, shift: Array | None = None
) -> Array:
    """How much of each pixel the thing covers, (side, side); `shift`, of that shape too, moves
    its outline, in picture widths."""
    covered = np.zeros((side, side), np.float32)
    rows, columns = _window(thing.y, thing, side), _window(thing.x, thing, side)
    distance = thing.radius * SHAPES[thing.shape](_grid(thing, rows, columns, side))
    if shift is not None:
        distance = distance + shift[rows, columns]
    if outline:
        distance = np.abs(distance) - np.float32(STROKE)
    covered[rows, columns] = np.clip(0.5 - side * distance, 0, 1)
    return covered


def styled(colour: tuple[float, float, float], style: str | None) -> Array:
    """The colour as that style shows it: pastel is half white, night dark and bluish."""
    if style == "pastel":
        return np.float32(0.5) + np.array(colour, np.float32) / np.float32(2)
    if style == "night":
        return np.array(colour, np.float32) * np.array([0.42, 0.44, 0.58], np.float32)
    return np.array(colour, np.float32)


def _window(middle: float, thing: Thing, side: int) -> slice:
    """The rows or columns that the thing can touch, however it wobbles."""
    reach = 1.15 * thing.radius + 0.1
    return slice(max(0, int(side * (middle - reach))), max(0, int(side * (middle + reach)) + 1))


def _grid(thing: Thing, rows: slice, columns: slice, side: int) -> Array:
    """Those pixels' centres, in the thing's radii around its middle."""
    ticks = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    x, y = np.meshgrid(ticks[columns] - thing.x, ticks[rows] - thing.y)
    return np.stack([x, y], axis=-1).astype(np.float32) / np.float32(thing.radius)
