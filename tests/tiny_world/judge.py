"""Looks at a picture of the tiny world and says what is in it, and which words that fulfils.

The background is what most of the border shows; whatever differs from it, piece by piece, is a
thing. A thing's shape is the one of which an ideal drawing lies closest to what is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.tiny_world.fit import length, nearest
from tests.tiny_world.pieces import DIFFERENT, Piece, eroded, holes, pieces, spots
from worker.tiny.world.captions import EVERYTHING, Said
from worker.tiny.world.drawing import styled
from worker.tiny.world.glorp import TURQUOISE
from worker.tiny.world.scene import BACKGROUNDS, COLOURS, PALETTE, SIZES, Scene, Thing
from worker.tiny.world.shapes import Array

#: An outline may lie so many pixels off, on average; of 40 drawn ones none lies more than 0.23 off,
#: of 40 wobbly ones one less than 0.9; half of them lie 1.8 off.
OUTLINE_LIMIT = 0.9

#: So many pixels of every outline's pixel may be a mixture; of 40 drawn ones at most 1.0 are, of 40
#: blurry ones at least 4.6.
SOFT_LIMIT = 3.0

#: How far a colour may lie from the palette's, as a distance of (red, green, blue) in 0 … 1.
COLOUR_LIMIT = 0.16

#: Deviation within one surface; drawn ones have 0, of 40 noisy ones the least is 0.039 on a
#: background and 0.063 on a thing.
FLAT_LIMIT = 0.035

BORDER = 3


@dataclass(frozen=True)
class SeenThing:
    """A piece of the picture and the ideal thing that comes closest to it.

    `off` and `soft` are in pixels per pixel of outline, `rough` is a deviation of colours,
    `spots` are places of another colour in its surface.
    """

    thing: Thing
    colour: Array
    off: float
    soft: float
    rough: float
    spots: int


@dataclass(frozen=True)
class Seen:
    """How many things there are, and the largest ones; `rough` is the background's."""

    count: int
    things: tuple[SeenThing, ...]
    background: Array
    rough: float
    specks: int


def look(picture: np.ndarray, style: str | None = None) -> Seen:
    """`picture` is uint8 (side, side, 3). Whether to look for outlines is the style's to say."""
    colours = picture.astype(np.float32) / 255
    edge = np.ones(colours.shape[:2], bool)
    edge[BORDER:-BORDER, BORDER:-BORDER] = False
    background = np.median(colours[edge], axis=0)
    found, specks = pieces(np.linalg.norm(colours - background, axis=-1))
    things = tuple(_thing(colours, background, piece, style == "outline") for piece in found[:3])
    empty = (
        ~np.any([piece.near for piece in found], axis=0)
        if found
        else np.ones(colours.shape[:2], bool)
    )
    return Seen(len(found), things, background, _rough(colours[empty], background), specks)


def verdict(picture: np.ndarray, wish: Scene, said: Said = EVERYTHING) -> dict[str, bool]:
    """Each word of the wish, and whether the picture fulfils it.

    Always `count`, `outline` (closed, smooth, sharp) and `clean`; then what was said. A style is
    no word of its own: the picture is looked at as one in that style. Nor is a flaw, which fails
    `outline` or `clean`.
    """
    seen = look(picture, wish.style)
    things = _in_order(seen, wish)
    fulfilled = {
        "count": seen.count == len(wish.things),
        "outline": all(t.off <= OUTLINE_LIMIT and t.soft <= SOFT_LIMIT for t in seen.things),
        "clean": seen.rough <= FLAT_LIMIT
        and not seen.specks
        and all(t.rough <= FLAT_LIMIT and not t.spots for t in seen.things),
    }
    pairs = list(zip(things, wish.things, strict=False))
    if said.background:
        fulfilled["background"] = _is_colour(
            seen.background, wish.background, BACKGROUNDS, wish.style
        )
    if said.colour:
        fulfilled["colour"] = bool(pairs) and all(
            _is_colour(s.colour, w.colour, COLOURS, wish.style) for s, w in pairs
        )
    if said.shape:
        fulfilled["shape"] = bool(pairs) and all(s.thing.shape == w.shape for s, w in pairs)
    if said.size and len(wish.things) == 1:
        fulfilled["size"] = bool(pairs) and _size(things[0].thing.radius) == wish.things[0].size
    if said.position and wish.position:
        fulfilled["position"] = bool(pairs) and position(things[0].thing) == wish.position
    if wish.relation:
        fulfilled["relation"] = len(things) == 2 and _relates(
            wish.relation, *(t.thing for t in things)
        )
    return fulfilled


LOOKS = ("count", "outline", "clean", "background", "colour", "shape")


def correct(words: dict[str, bool]) -> bool:
    """Whether the right things are there in the right colours, and well drawn."""
    return all(words.get(word, True) for word in LOOKS)


def position(thing: Thing) -> str:
    """Where it is, in one of the captions' words."""
    x, y = thing.x - 0.5, thing.y - 0.5
    if max(abs(x), abs(y)) < 0.085:
        return "centre"
    if abs(x) > abs(y):
        return "left" if x < 0 else "right"
    return "top" if y < 0 else "bottom"


def _size(radius: float) -> str:
    """The nearest size word."""
    return min(SIZES, key=lambda size: max(SIZES[size][0] - radius, radius - SIZES[size][1]))


def _relates(relation: str, one: Thing, two: Thing) -> bool:
    x, y = two.x - one.x, two.y - one.y
    return y > abs(x) if relation == "above" else x > abs(y)


def _in_order(seen: Seen, wish: Scene) -> list[SeenThing]:
    """Of two things, the one that looks more like the first that was wished comes first."""
    things = list(seen.things[: len(wish.things)])
    if len(things) < 2:
        return things

    def likeness(order: list[SeenThing]) -> float:
        pairs = zip(order, wish.things, strict=True)
        return sum(
            (s.thing.shape != w.shape)
            + (_distance(s.colour, w.colour, wish.style) if w.colour else 0)
            for s, w in pairs
        )

    return min([things, things[::-1]], key=likeness)


def _is_colour(seen: Array, name: str, names: tuple[str, ...], style: str | None) -> bool:
    """Whether of the colours that could be there the named one is nearest, and near."""
    distances = {n: _distance(seen, n, style) for n in names}
    return min(distances, key=distances.__getitem__) == name and distances[name] <= COLOUR_LIMIT


def _distance(seen: Array, name: str, style: str | None) -> float:
    return float(np.linalg.norm(seen - styled(PALETTE[name], style)))


def _thing(colours: Array, background: Array, piece: Piece, outline: bool) -> SeenThing:
    colour = np.median(colours[piece.core], axis=0)
    way = colour - background
    covered = np.clip((colours - background) @ way / (way @ way), 0, 1) * piece.near
    thing, off = nearest(covered, piece, outline)
    mixed = float(((covered > 0.1) & (covered < 0.9)).sum())
    soft = mixed / length(thing, covered.shape[0], outline)
    # Further in than `core`: at tips and corners an outline's mixed colours reach into that.
    foreign = eroded(piece.core) & (np.linalg.norm(colours - colour, axis=-1) > DIFFERENT)
    found = spots(foreign) + (0 if outline else holes(covered > 0.5))
    return SeenThing(thing, colour, off, soft, _rough(colours[piece.core], colour), found)


def _rough(colours: Array, mean: Array) -> float:
    """Root of the mean square of the colours' distances from their middle."""
    return float(np.sqrt(np.mean((colours - mean) ** 2))) if len(colours) else 0.0


#: The share of the picture that a glorp's skin takes up at least.
SKIN = 0.02


def is_glorp(picture: np.ndarray, style: str | None = None) -> bool:
    """Whether there is skin of a glorp's turquoise, in that style, with two white eyes in it;
    `picture` is uint8."""
    colours = picture.astype(np.float32) / 255
    skin = np.linalg.norm(colours - styled(TURQUOISE, style), axis=-1) < 0.2
    if skin.mean() < SKIN:
        return False
    rows, columns = np.flatnonzero(skin.any(1)), np.flatnonzero(skin.any(0))
    inside = colours[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    eyes, _ = pieces((inside.min(-1) > 0.75).astype(np.float32), least=8)
    return sum(eye.top > 0 and eye.bottom < inside.shape[0] for eye in eyes) == 2
