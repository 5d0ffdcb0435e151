"""How lists and mappings are written, where something else stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType

from producer.language.axes import LIKE_A_FILE
from producer.language.mends.written import MOST, line, quoted, text, texts, value
from producer.language.settings import find_setting
from producer.language.yaml import Entries, Items, Node, Scalar

NO_SETTING = "{setting: value}"
#: A setting and its value in one text.
_SETTING = re.compile(r"\s*([a-z_.]+)\s*[= ]\s*(\S+)\s*")

_UNQUOTED = re.compile(r"\s*([\w.]+)\s*([<>=!]=?\s*.+)")


def mapping(node: Node, of: str) -> str:
    if isinstance(node, Items) and any(isinstance(value, Entries) for value in node.values):
        return "leave out the hyphens"
    form = _MAPPINGS[of]
    return f"write {form if isinstance(form, str) else form(node)}"


def settings(node: Node) -> str:
    """`steps=30`, `steps 30`: a setting and its value, without the colon."""
    found = _SETTING.fullmatch(node.text) if isinstance(node, Scalar) else None
    known = found and find_setting(found[1])
    return f"{{{found[1]}: {found[2]}}}" if found and known else NO_SETTING


def _lora_files(node: Node) -> str:
    """Files without names."""
    values = node.values if isinstance(node, Items) else (node,)
    files = [v for v in values if isinstance(v, Scalar) and v.text]
    named = (f"{PurePath(v.text.partition('@')[0]).stem}: {text(v)}" for v in files)
    return f"{{{', '.join(named)}}}" if files else "{name: file or hub id}"


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
        "settings": settings,
        "lora_files": _lora_files,
        "words": "{animal: [wolf, cat]}",
        "axes": "{name: [values]}",
        "condition": _condition,
        "refiner": _refiner,
        "crop": "{top: 0, left: 256}",
    }
)


def list_of_values(node: Scalar) -> str:
    """Also for the ranges of A1111's X/Y/Z plot: `5-9 (+2)`, `10-50 [3]`."""
    written = node.text
    if ends := re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*\(\+?([\d.]+)\)\s*", written):
        return f"write {ends[1]}..{ends[2]} by {ends[3]}"
    if ends := re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*\[(\d+)\]\s*", written):
        step = (int(ends[2]) - int(ends[1])) / max(1, int(ends[3]) - 1)
        return f"write {ends[1]}..{ends[2]} by {step:g}"
    if LIKE_A_FILE.fullmatch(written):
        return f"a file is {{file: {written}}}"
    if not written:
        return "write [value, value]"
    if ends := re.fullmatch(r"\s*(-?[\d.]+)\s*(?:-|to|…)\s*([\d.]+)\s*", written):
        return f"write {ends[1]}..{ends[2]}"
    return f"write [{written[:40]}]"


def comma_texts(node: Items) -> str:
    count = sum(isinstance(value, Scalar) for value in node.values)
    return f"its commas make {count} texts of [{', '.join(_first_texts(node))[:80]}]"


def quoted_texts(node: Items, path: str) -> str:
    """Both that may be meant, as the line should be."""
    key, written = path.rpartition(".")[2], [v for v in node.values if isinstance(v, Scalar)]
    several = texts(quoted(v.text) for v in written)
    one = texts([quoted(", ".join(v.text for v in written))])
    if len(written) < len(node.values) or len(several) > MOST:
        return f"quote each text: [{quoted(written[0].text[:40])}, …]"
    return f"write {key}: {several} for {len(written)}, or {key}: {one} for one"


def torn_text(text: str, path: str) -> str:
    return f"quote it: {line(path.rpartition('.')[2], quoted(text))}"


def torn_number(name: str, parts: Sequence[str]) -> str:
    """A decimal comma, or several values where one can stand."""
    setting = find_setting(name)
    whole = setting is None or setting.read.schema.get("type") == "integer"
    if len(parts) == 2 and not whole:
        return f"write {'.'.join(parts)}"
    several = ", ".join(parts)[:80]
    return f"write one number; several are an axis of their own: {name}: [{several}]"


def conditions(node: Node, key: str) -> str:
    return f"write {key}: [{value(node) if isinstance(node, Entries) else '{axis: value}'}]"


def _first_texts(node: Items) -> list[str]:
    return [*islice((value.text for value in node.values if isinstance(value, Scalar)), 20)]
