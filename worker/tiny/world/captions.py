"""Scene → caption, and what a caption leaves out.

a large red star on the left on a blue background, night
a red star above a white circle on a blue background
a shape on a green background, blurry
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.tiny.world.scene import FLAWS, PALETTE, POSITIONS, SIZES, STYLES, Scene, Thing
from worker.tiny.world.shapes import SHAPES

PLACES = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "centre": "in the centre",
}


@dataclass(frozen=True)
class Said:
    """Which of a scene's words its caption says."""

    shape: bool = True
    colour: bool = True
    size: bool = True
    background: bool = True
    position: bool = True
    style: bool = True
    flaws: bool = True


def some(rng: np.random.Generator) -> Said:
    """Most words, most of the time."""
    shares = {"shape": 0.92, "colour": 0.88, "size": 0.6, "background": 0.88, "position": 0.6}
    return Said(**{word: bool(rng.random() < share) for word, share in shares.items()})


EVERYTHING = Said()


def caption(scene: Scene, said: Said = EVERYTHING) -> str:
    """The sentence, style and flaws behind it."""
    things = [_thing(thing, said, alone=len(scene.things) == 1) for thing in scene.things]
    words = [f" {scene.relation} ".join(things)]
    if said.position and scene.position:
        words.append(PLACES[scene.position])
    if said.background:
        words.append(f"on a {scene.background} background")
    after = [scene.style] if said.style and scene.style else []
    return ", ".join([" ".join(words), *after, *(scene.flaws if said.flaws else ())])


def _thing(thing: Thing, said: Said, *, alone: bool) -> str:
    size = thing.size if said.size and alone else ""
    colour = thing.colour if said.colour else ""
    words = " ".join(
        word for word in (size, colour, thing.shape if said.shape else "shape") if word
    )
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def vocabulary() -> list[str]:
    """Every word that a caption of the base's training can hold."""
    grammar = "a an on in at the of above left background shape ,".split()
    return [*grammar, *PALETTE, *SHAPES, *SIZES, *POSITIONS, *STYLES, *FLAWS]
