"""How lists and mappings are written, where something else stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from types import MappingProxyType

from producer.language.axes import LIKE_A_FILE
from producer.language.yaml import Entries, Items, Node, Scalar

_UNQUOTED = re.compile(r"\s*([\w.]+)\s*([<>=!]=?\s*.+)")


def mapping(node: Node, of: str) -> str:
    if isinstance(node, Items) and any(isinstance(value, Entries) for value in node.values):
        return "leave out the hyphens"
    form = _MAPPINGS[of]
    return f"write {form if isinstance(form, str) else form(node)}"


def _condition(node: Node) -> str:
    """`steps > 20` is a text to YAML."""
    unquoted = _UNQUOTED.fullmatch(node.text) if isinstance(node, Scalar) else None
    return f'{{{unquoted[1]}: "{unquoted[2]}"}}' if unquoted else "{axis: value}"


def _refiner(node: Node) -> str:
    """Its model, or the part of the steps that another program calls the refiner's."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return f"{{model: {node.text}}}"
    if isinstance(node, Scalar) and isinstance(node.value, float):
        return f"high_noise_frac: {node.text}, the base's part of the steps"
    if isinstance(node, Scalar) and node.value is True:
        return "high_noise_frac: 0.8, which brings the refiner in"
    return "{aesthetic_score: 6}"


#: Each mapping of fixed meaning (`settings.mapping`), and how it is written.
_MAPPINGS: Mapping[str, str | Callable[[Node], str]] = MappingProxyType(
    {
        "settings": "{setting: value}",
        "lora_files": "{name: file or hub id}",
        "words": "{animal: [wolf, cat]}",
        "axes": "{name: [values]}",
        "condition": _condition,
        "refiner": _refiner,
        "crop": "{top: 0, left: 256}",
    }
)


def list_of_values(node: Scalar) -> str:
    """Also for the ranges of A1111's X/Y/Z plot: `5-9 (+2)`, `10-50 [3]`."""
    text = node.text
    if ends := re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*\(\+?([\d.]+)\)\s*", text):
        return f"write {ends[1]}..{ends[2]} by {ends[3]}"
    if ends := re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*\[(\d+)\]\s*", text):
        step = (int(ends[2]) - int(ends[1])) / max(1, int(ends[3]) - 1)
        return f"write {ends[1]}..{ends[2]} by {step:g}"
    if LIKE_A_FILE.fullmatch(text):
        return f"a file is {{file: {text}}}"
    if ends := re.fullmatch(r"\s*(-?[\d.]+)\s*(?:-|to|…)\s*([\d.]+)\s*", text):
        return f"write {ends[1]}..{ends[2]}"
    return f"write [{text[:40]}]"


def comma_texts(node: Items) -> str:
    return f"its commas make {len(node.values)} texts of [{', '.join(_first_texts(node))[:80]}]"


def quoted_texts(node: Items) -> str:
    [first, *_] = _first_texts(node)
    return f'quote each text: ["{first[:40]}", …]'


def _first_texts(node: Items) -> list[str]:
    return [*islice((value.text for value in node.values if isinstance(value, Scalar)), 20)]
