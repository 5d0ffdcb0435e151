"""What spoils a picture: blurry, noisy, cut, faded, wobbly. Pictures are (side, side, 3)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from worker.tiny.world.shapes import Array


def degraded(picture: Array, flaws: tuple[str, ...], rng: np.random.Generator) -> Array:
    """The picture with its flaws; wobbly is drawn, not added."""
    if "cut" in flaws:
        picture = _cut(picture, rng)
    if "blurry" in flaws:
        picture = enlarged(picture, int(rng.integers(12, 22)))
    if "faded" in flaws:
        picture = picture + rng.uniform(0.6, 0.75) * (picture.mean() - picture)
    if "noisy" in flaws:
        picture = picture + _smooth(rng, 24, rng.uniform(0.12, 0.2), picture.shape[0])[..., None]
    return picture.astype(np.float32)


def wobble(rng: np.random.Generator, side: int) -> Array:
    """A smooth random shift of outlines, (side, side), in picture widths."""
    return _smooth(rng, 11, rng.uniform(0.02, 0.03), side)


def _smooth(rng: np.random.Generator, cells: int, deviation: float, side: int) -> Array:
    """Random numbers on a grid so many cells wide, (side, side). Finer ones a VAE cannot keep."""
    coarse = rng.normal(0, deviation, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def enlarged(picture: Array, side: int) -> Array:
    """The picture as if it had been only so wide, in its own size."""
    whole = Image.fromarray((picture * 255).clip(0, 255).astype(np.uint8))
    small = whole.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize(whole.size, Image.Resampling.BICUBIC), np.float32) / np.float32(
        255
    )


def _cut(picture: Array, rng: np.random.Generator) -> Array:
    """Lies on one of its sides, perhaps; the lower half or so shows one colour."""
    turned = np.rot90(picture, k=int(rng.integers(4))).copy()
    from_row = int(picture.shape[0] * rng.uniform(0.45, 0.65))
    turned[from_row:] = turned[0, 0]
    turned[from_row - 2 : from_row] = 1 - turned[0, 0]
    return turned
