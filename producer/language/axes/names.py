"""What axes and their values are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue

from common.batch import GROUPS, WORD_NAME
from producer.language.axes.places import AxisPlace
from producer.language.mistakes import Mistake
from producer.language.settings import SETTINGS, as_text

#: The axes with a key of their own, and their names everywhere else.
TOP_AXES = MappingProxyType({"prompts": "prompt", "seeds": "seed", "variants": "variant"})

#: Characters of a name that is given to a value. A prompt without one is labelled in full.
MAX_LABEL = 200

_AXIS_NAME = re.compile(r"[^\W\d][\w-]{0,99}|(refiner|loras)\..{1,100}")


def check_name(name: str) -> None:
    """Raises Mistake for a name that nothing can be called by."""
    if not (name.strip() and len(name) <= MAX_LABEL):
        raise Mistake("name-length", length=len(name), most=MAX_LABEL)


def check_axis_name(place: AxisPlace) -> None:
    """Raises Mistake for a name that no axis, or no word, can have."""
    name = place.name
    if place.setting.startswith("words."):
        _check_word_name(name)
    elif name in TOP_AXES or name == "words":
        raise Mistake("key-under-axes", name=name)
    elif not _AXIS_NAME.fullmatch(name):
        raise Mistake("axis-name", place.node, name=name)
    elif name.startswith("refiner.") and name not in SETTINGS:
        raise Mistake("not-a-dotted-setting", name=name)


def _check_word_name(name: str) -> None:
    if not WORD_NAME.fullmatch(name):
        raise Mistake("word-name", name=name)
    if name in SETTINGS or name in TOP_AXES.values() or name in GROUPS:
        raise Mistake("word-named-as-a-setting", name=name)


def label_of(place: AxisPlace, settings: Mapping[str, JsonValue]) -> str:
    """The label of a value without a name. A text is labelled by itself, whatever else its
    bundle sets; settings of a group by their inner names."""
    if place.setting in settings and (len(settings) == 1 or place.kind == "text"):
        value = settings[place.setting]
        return "default" if place.setting == "scheduler" and value is None else as_text(value)
    inside = f"{place.name}." if place.name in GROUPS else ""
    named = (f"{name.removeprefix(inside)} {as_text(v)}" for name, v in settings.items())
    return ", ".join(named) or "none"


def check_label(label: str, taken: Mapping[str, str]) -> None:
    """`taken` maps the labels so far to where they are. Raises Mistake for one of those."""
    if label in taken:
        raise Mistake("label-twice", label=label, other=taken[label])
