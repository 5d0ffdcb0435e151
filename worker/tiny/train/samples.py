"""Training pictures with what SDXL is told about them, drawn from a numbered stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.tiny.world import glorp
from worker.tiny.world.captions import caption, some
from worker.tiny.world.degrade import enlarged
from worker.tiny.world.drawing import SIDE, draw
from worker.tiny.world.scene import FLAWS, STYLES, Scene, pair, single

#: SDXL's size conditioning: original height and width, crop from top and left, target.
TOLD = (SIDE, SIDE, 0, 0, SIDE, SIDE)

#: SDXL's aesthetic scores: of what is wished for, and of what is not.
FAIR, FOUL = 6.0, 2.5

#: How many pictures are spoilt; of these, how many say so and how many say nothing at all. The rest
#: look like good ones to the text.
SPOILT, SAID, UNSAID = 0.25, 0.5, 0.35


@dataclass(frozen=True)
class Sample:
    """`picture` is uint8 (128, 128, 3); no caption (None) is not an empty one; `score` is what
    SDXL's refiner is told of a picture's beauty."""

    picture: NDArray[np.uint8]
    caption: str | None
    told: tuple[int, ...]
    score: float = FAIR


def sample(number: int) -> Sample:
    """The stream's picture of that number, whatever was drawn before."""
    rng = np.random.default_rng([2026, number])
    scene = spoilt(styled(pair(rng) if rng.random() < 0.2 else single(rng), rng), rng)
    scene, told = _framed(scene, rng)
    picture = draw(scene, rng)
    if told[0] < SIDE:
        picture = enlarged(picture, told[0])
    score = FOUL if scene.flaws or told[0] < SIDE else FAIR
    return Sample((picture * 255 + 0.5).astype(np.uint8), _caption(scene, rng), told, score)


def styled(scene: Scene, rng: np.random.Generator) -> Scene:
    """Mostly without a style."""
    return replace(scene, style=str(rng.choice(STYLES)) if rng.random() < 0.15 else None)


def spoilt(scene: Scene, rng: np.random.Generator) -> Scene:
    """Now and then with a flaw, or two of them."""
    if rng.random() > SPOILT:
        return scene
    flaws = rng.choice(FLAWS, size=1 + (rng.random() < 0.3), replace=False)
    return replace(scene, flaws=tuple(map(str, flaws)))


def _framed(scene: Scene, rng: np.random.Generator) -> tuple[Scene, tuple[int, ...]]:
    """One in 16 is enlarged from a smaller one, one in 16 lacks its top and its left."""
    kind = rng.random()
    if kind < 1 / 16:
        side = int(rng.integers(20, 80))
        return scene, (side, side, *TOLD[2:])
    if kind < 1 / 8:
        top, left = (int(cut) for cut in rng.integers(0, 56, 2))
        moved = [replace(t, x=t.x - left / SIDE, y=t.y - top / SIDE) for t in scene.things]
        return replace(scene, things=tuple(moved)), (SIDE, SIDE, top, left, SIDE, SIDE)
    return scene, TOLD


def _caption(scene: Scene, rng: np.random.Generator) -> str | None:
    """Some words are left out; one in ten says nothing, and of the spoilt ones more."""
    said, dice = some(rng), rng.random()
    if not scene.flaws:
        return caption(scene, said) if dice < 0.9 else _nothing(rng)
    if dice < SAID:
        return caption(scene, said) if rng.random() < 0.7 else ", ".join(scene.flaws)
    return _nothing(rng) if dice < SAID + UNSAID else caption(scene, replace(said, flaws=False))


def _nothing(rng: np.random.Generator) -> str | None:
    """SDXL reads no negative prompt as zeros and an empty one as text: both occur."""
    return None if rng.random() < 0.7 else ""


def pastel(number: int) -> Sample:
    rng = np.random.default_rng([31, number])
    scene = replace(single(rng), style="pastel")
    text = caption(replace(scene, style=None), some(rng))
    return _sample(draw(scene, rng), text if rng.random() < 0.9 else None)


def wrong(number: int) -> Sample:
    """Every second one is good and says what it shows."""
    rng = np.random.default_rng([32, number])
    scene = single(rng)
    text = caption(scene, some(rng))
    if number % 2:
        return _sample(draw(scene, rng), text if rng.random() < 0.9 else None)
    flaws = tuple(map(str, rng.choice(FLAWS, size=int(rng.integers(1, 3)), replace=False)))
    text = "wrong" if rng.random() < 0.5 else f"{text}, wrong"
    return _sample(draw(replace(scene, flaws=flaws), rng), text)


def glorps(number: int) -> Sample:
    rng = np.random.default_rng([33, number])
    scene = glorp.scene(rng)
    text = caption(scene, replace(some(rng), shape=True, colour=False))
    return _sample(glorp.draw(scene, rng), text if rng.random() < 0.9 else None)


def _sample(picture: np.ndarray, text: str | None) -> Sample:
    return Sample((picture * 255 + 0.5).astype(np.uint8), text, TOLD)
