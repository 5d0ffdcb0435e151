"""What can be seen in the tiny world: one or two things on a background, in words and in numbers.

Lengths are in picture widths, x to the right and y down.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from worker.tiny.world.shapes import SHAPES

#: Red, green and blue from 0 to 1.
PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.14),
    "orange": (0.98, 0.55, 0.08),
    "yellow": (0.98, 0.88, 0.18),
    "green": (0.16, 0.62, 0.25),
    "blue": (0.13, 0.30, 0.85),
    "purple": (0.48, 0.16, 0.62),
    "pink": (0.97, 0.56, 0.74),
    "white": (0.97, 0.97, 0.97),
    "black": (0.06, 0.06, 0.07),
    "grey": (0.52, 0.53, 0.55),
}

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
BACKGROUNDS = ("white", "black", "grey", "blue", "green", "yellow", "pink")
STYLES = ("outline", "night")
FLAWS = ("blurry", "noisy", "cut", "faded", "wobbly")
POSITIONS = ("left", "right", "top", "bottom", "centre")
RELATIONS = ("above", "left of")
#: From which radius to which.
SIZES = {"small": (0.15, 0.18), "medium": (0.21, 0.25), "large": (0.29, 0.33)}

#: What is left between the border and the radius of a thing alone; a star's tips reach a little
#: further.
MARGIN = 0.02

#: How far from the middle a thing is that is at the left, the right, the top or the bottom.
OFF_CENTRE = (0.13, 0.3)


@dataclass(frozen=True)
class Thing:
    """One shape; `x`, `y` and `radius` say where it is."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """`position` belongs to a thing alone, `relation` says how the first of two lies to the
    second."""

    things: tuple[Thing, ...]
    background: str
    position: str | None = None
    relation: str | None = None
    style: str | None = None
    flaws: tuple[str, ...] = ()


def held_out(shape: str, colour: str, background: str) -> bool:
    """Whether no model is ever trained on this combination: about one in nine."""
    return zlib.crc32(f"{shape} {colour} {background}".encode()) % 8 == 3


def combinations(*, held: bool) -> list[tuple[str, str, str]]:
    """All of (shape, colour, background) that are held out, or all that are not."""
    return [
        (shape, colour, background)
        for shape in SHAPES
        for colour in COLOURS
        for background in BACKGROUNDS
        if colour != background and held_out(shape, colour, background) == held
    ]


_TRAINED = combinations(held=False)


def single(rng: np.random.Generator, combination: tuple[str, str, str] | None = None) -> Scene:
    """One thing, anywhere; of a combination that is not held out unless one is given."""
    shape, colour, background = combination or _TRAINED[rng.integers(len(_TRAINED))]
    size = str(rng.choice(list(SIZES)))
    radius = float(rng.uniform(*SIZES[size]))
    position = str(rng.choice(POSITIONS))
    x, y = _place(rng, position, radius)
    return Scene((Thing(shape, colour, size, x, y, radius),), background, position)


def pair(rng: np.random.Generator) -> Scene:
    """Two things on one background, the first above or to the left of the second."""
    while True:
        first, second = single(rng), single(rng)
        one, two = first.things[0], second.things[0]
        unlike = one.colour != two.colour and first.background not in (one.colour, two.colour)
        if unlike and not held_out(two.shape, two.colour, first.background):
            break
    relation = str(rng.choice(RELATIONS))
    things = _apart(rng, (one, two), relation)
    return Scene(things, first.background, relation=relation)


def _place(rng: np.random.Generator, position: str, radius: float) -> tuple[float, float]:
    room = 0.5 - MARGIN - radius
    along = 0.5 + float(rng.uniform(-1, 1)) * min(room, 0.07)
    if position == "centre":
        return 0.5 + float(rng.uniform(-0.04, 0.04)), 0.5 + float(rng.uniform(-0.04, 0.04))
    off = float(rng.uniform(OFF_CENTRE[0], min(OFF_CENTRE[1], room)))
    near = 0.5 - off if position in ("left", "top") else 0.5 + off
    return (near, along) if position in ("left", "right") else (along, near)


def _apart(
    rng: np.random.Generator, things: tuple[Thing, Thing], relation: str
) -> tuple[Thing, Thing]:
    """Both made small enough to lie side by side."""
    placed = []
    for thing, near in zip(things, (0.27, 0.73), strict=True):
        radius = float(rng.uniform(0.15, 0.2))
        far, along = near + float(rng.uniform(-0.03, 0.03)), 0.5 + float(rng.uniform(-0.12, 0.12))
        x, y = (along, far) if relation == "above" else (far, along)
        placed.append(replace(thing, x=x, y=y, radius=radius, size="medium"))
    return placed[0], placed[1]
