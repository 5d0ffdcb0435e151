"""What a value of an axis leaves alone: the settings that others set beyond what it sets.

Beside `guided: {guidance_scale: 12}` the value `base: {}` stands for the guidance that the batch
has anyway, and a table that says 12 of the one has to say 7 of the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from common.batch import COLLECTIONS, WORD, Layer

#: Settings that say something by being None; of others that is another setting's value.
_NONE_SAYS = {"negative_prompt": None, "scheduler": "default"}


def left_alone(layer: Layer, layers: Iterable[Layer]) -> list[str]:
    """The settings of those `layers` that set all that `layer` sets, and more; the entry of a
    collection (`loras.style`) is the collection. Prompts and words, which are what is drawn and
    not how, are none."""
    wider = dict.fromkeys(tuple(other) for other in layers if other.keys() > layer.keys())
    names = dict.fromkeys(_whole(name) for other in wider for name in other)
    own = {_whole(name) for name in layer}
    return [n for n in names if n not in own and n != "prompt" and not n.startswith(WORD)]


def as_it_stands(name: str, value: JsonValue) -> dict[str, JsonValue]:
    """The setting with its value as it is told; nothing where it is not set."""
    if value is None:
        return {name: _NONE_SAYS[name]} if name in _NONE_SAYS else {}
    return {name: value}


def _whole(name: str) -> str:
    head = name.partition(".")[0]
    return head if head in COLLECTIONS else name
