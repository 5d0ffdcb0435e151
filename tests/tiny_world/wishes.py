"""Caption → what it wishes for: the other way round of captions.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.tiny.world.captions import PLACES, Said
from worker.tiny.world.scene import FLAWS, PALETTE, RELATIONS, SIZES, STYLES, Scene, Thing
from worker.tiny.world.shapes import SHAPES

_BACKGROUND = re.compile(rf"on an? ({'|'.join(PALETTE)}) background")
_RELATION = re.compile(rf" ({'|'.join(RELATIONS)}) (?=an? )")


def wish(text: str) -> tuple[Scene, Said]:
    """What a picture must show, and which of it was said; numbers of things are 0.

    `verdict(picture, *wish(prompt))` judges a picture by its prompt.
    """
    ground, place = _BACKGROUND.search(text), _place(text)
    relation = _RELATION.search(text)
    plain = _BACKGROUND.sub("", text)
    parts = _RELATION.split(plain)[::2]
    things = tuple(_thing(part) for part in parts)
    scene = Scene(
        things,
        ground[1] if ground else "",
        place,
        relation[1] if relation else None,
        _first(text, STYLES) or None,
        tuple(flaw for flaw in FLAWS if flaw in text),
    )
    return scene, _said(scene)


def _said(scene: Scene) -> Said:
    return Said(
        shape=all(thing.shape for thing in scene.things),
        colour=all(thing.colour for thing in scene.things),
        size=all(thing.size for thing in scene.things),
        background=bool(scene.background),
        position=scene.position is not None,
        style=scene.style is not None,
        flaws=bool(scene.flaws),
    )


def _thing(words: str) -> Thing:
    return Thing(_first(words, SHAPES), _first(words, PALETTE), _first(words, SIZES), 0, 0, 0)


def _place(text: str) -> str | None:
    return next((word for word, phrase in PLACES.items() if phrase in text), None)


def _first(text: str, names: Iterable[str]) -> str:
    """Which of the names stands in the text."""
    return next((name for name in names if re.search(rf"\b{name}\b", text)), "")
