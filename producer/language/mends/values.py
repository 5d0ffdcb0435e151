"""Values that their setting does not take: how they are probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from common.text import closest
from producer.language.mends.written import line
from producer.language.settings import SETTINGS, Bounds
from producer.language.yaml import Items, Node, Scalar


def number(node: Node, bounds: Bounds, path: str) -> str:
    if not isinstance(node, Scalar):
        return f"several values make an axis: {_axis_of(node, path)}"
    value = node.value
    if isinstance(value, str):
        return _number_in_text(node)
    if value is None or isinstance(value, bool):
        return ""
    if bounds.whole:
        return f"write {value:.0f}" if isinstance(value, float) and value.is_integer() else ""
    percent = bounds.high == 1 and 1 < value <= 100
    return f"write {value / 100:g}" if percent else ""


def _axis_of(node: Node, path: str) -> str:
    """Where the values of a setting's list belong, as the line should be."""
    *above, name = path.split(".")
    name = f"refiner.{name}" if above[-1:] == ["refiner"] else name
    if name == "seed":
        return line("seeds", node)
    return f"axes: {{{line(name, node)}}}" if name in SETTINGS else "seeds: …, or one under axes"


def _number_in_text(node: Scalar) -> str:
    if not node.plain and re.fullmatch(r"[-+]?[\d.]+", node.text):
        return "write it without quotes"
    if ends := re.fullmatch(r"(\d+)\s*-\s*(\d+)", node.text):
        return f"write {ends[1]}..{ends[2]}, which makes an axis"
    if re.fullmatch(r"\d+\s*\.\.+\s*\d+.*", node.text):
        return "a range makes an axis: seeds: 0..99, or one under axes"
    if re.fullmatch(r"[-+]?[\d.]+(\s*,\s+[-+]?[\d.]+)+", node.text):
        return f"write [{node.text}], which makes an axis"
    if ends := re.fullmatch(r"(\d+)\s*(?:to|through|…)\s*(\d+)", node.text):
        return f"write {ends[1]}..{ends[2]}, which makes an axis"
    if re.fullmatch(r"\d+,\d+", node.text):
        return f"write {node.text.replace(',', '.')}"
    return ""


def did_you_mean(node: Scalar, known: Iterable[str]) -> str:
    close = closest(node.text, known)
    return f"did you mean {close!r}?" if close else ""


def choices(node: Node, known: Iterable[str]) -> str:
    return f"must be {' or '.join(known)}, not {node}"


def sources(node: Node, known: Iterable[str]) -> str:
    forms = (*known, "a hub id (owner/name), a folder (./name) or a .safetensors file")
    return f"must be {', '.join(forms)}, not {node}"


def size(node: Node) -> str:
    """Of a list, a single side, or two without the x."""
    written = node.values if isinstance(node, Items) else (node,)
    text = " ".join(v.text for v in written if isinstance(v, Scalar))
    sides = [int(side) for side in re.findall(r"\d{2,5}", text)[:2]] or [1024]
    return f"write it as {sides[0]}x{sides[-1]}"


def nearest_size(sides: tuple[int, int]) -> str:
    width, height = (min(8192, max(64, 8 * round(side / 8))) for side in sides)
    return f"the nearest is {width}x{height}"


def excerpt(text: str) -> str:
    return f"in {text[:60]!r}{'…' if len(text) > 60 else ''}"


def loras(node: Node, known: Collection[str]) -> str:
    """LoRAs that are no mapping of names and strengths."""
    if isinstance(node, Items):
        names = [v.text for v in node.values if isinstance(v, Scalar) and v.text in known]
        if names:
            return f"write {{{', '.join(f'{name}: 1.0' for name in names)}}}"
        return "strengths of one LoRA are an axis, loras.NAME: [0.5, 1]"
    text = node.text if isinstance(node, Scalar) else ""
    if re.fullmatch(r"\w[\w-]*", text):
        return f"write {{{text}: 1.0}}"
    if ".." in text:
        return f"write an axis: loras.NAME: {text}"
    return "write {name: 1.0}"
