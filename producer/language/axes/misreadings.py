"""What reads as something else than its writer meant: YAML's commas, colons and braces, and
names that are almost a setting's. Each check raises Mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

from common.batch import GROUPS
from common.text import closest
from producer.language.axes.names import TOP_AXES
from producer.language.axes.places import AxisPlace
from producer.language.mistakes import Mistake
from producer.language.settings import SETTINGS, find_setting
from producer.language.yaml import Entries, Items, Node, Scalar, is_null

#: What other programs and people write into `seeds: {…}`.
_NO_SEEDS = frozenset({"from", "count", "start", "end", "to", "step", "per"})

_WHOLE = re.compile(r"[-+]?\d{1,20}")
_DIGITS = re.compile(r"\d{1,20}")


def torn_off(entries: Entries, is_known: Callable[[str], bool]) -> dict[str, list[str]]:
    """What commas have torn off a value in braces, by that value's name: in `{prompt: A wolf,
    chilly}` YAML reads a name, `chilly`, with nothing behind it. On lines of their own, such a
    name is one whose value was forgotten."""
    torn: dict[str, list[str]] = {}
    last = ""
    for name, node in entries.values.items() if entries.flow else ():
        nothing = isinstance(node, Scalar) and node.value is None and not node.text
        if last and nothing and not is_known(name):
            torn.setdefault(last, []).append(name)
        else:
            cut = isinstance(node, Scalar) and node.plain and not is_null(node)
            last = name if cut else ""
    return torn


def torn_numbers(entries: Entries) -> dict[str, list[str]]:
    """All of each number that commas have torn apart, by its name: `{guidance_scale: 1,5}`."""
    numbers = {}
    for name, off in torn_off(entries, lambda _: False).items():
        node = entries.values[name]
        whole = isinstance(node, Scalar) and _WHOLE.fullmatch(node.text)
        if whole and all(map(_DIGITS.fullmatch, off)):
            numbers[name] = [whole[0], *off]
    return numbers


def check_numbers(group: str, node: Node) -> None:
    """In a group of settings, or among the LoRAs."""
    torn = torn_numbers(node) if isinstance(node, Entries) else {}
    for name, parts in torn.items():
        raise Mistake("torn-number", path=name, name=f"{group}.{name}", parts=parts)


def check_commas(place: AxisPlace, node: Items) -> None:
    """`[A wolf, chilly]` is two prompts to YAML, and seldom to its writer."""
    plain = [isinstance(v, Scalar) and v.plain and v.value is not None for v in node.values]
    is_text = place.kind == "text" and not place.word
    if is_text and node.flow and any(map(all, pairwise(plain))):
        raise Mistake("commas", node)


def check_value_names(axis: str, node: Entries) -> None:
    """A single bundle reads like names and values, and would make a prompt of its seed.
    `seeds: {count: 4}` would be one seed that is called count."""
    if axis == "prompt" and axis in node.values:
        raise Mistake("one-bundle")
    if axis == "seed" and (odd := [name for name in node.values if name in _NO_SEEDS]):
        raise Mistake("seed-name", name=odd[0])


def check_is_setting(place: AxisPlace, nodes: Iterable[Node]) -> None:
    """Values under a name that is almost a setting's are told once, not one by one."""
    values = [*nodes]
    known = place.takes is not None or place.name in GROUPS or place.name in TOP_AXES.values()
    plain = any(isinstance(node, Scalar) and not is_null(node) for node in values)
    if not known and plain and closest(place.name, SETTINGS):
        raise Mistake("not-a-setting", values[0], name=place.name)


def check_not_a_text(place: AxisPlace, name: str | None, node: Entries) -> None:
    """`- a sign: open` is a mapping to YAML, and `[base: 1]` a list of one."""
    key, value = next(iter(node.values.items()), ("", None))
    if len(node.values) != 1 or not isinstance(value, Scalar) or is_null(value):
        return
    if key == place.name or find_setting(key) or key in GROUPS or place.takes is None:
        return
    if place.kind == "text" and (" " in key or not closest(key, SETTINGS)):
        raise Mistake("text-as-mapping", name=key, text=value.text)
    if name is None and not closest(key, SETTINGS):
        raise Mistake("name-in-a-list", name=key, text=value.text)
