"""What a file is made of: values, lists and mappings, each as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scalar:
    """One value: as YAML 1.2 reads it, and its text. `plain` is "written without quotes";
    `cut` is the comment right behind a plain text that may have been meant to belong to it."""

    value: bool | int | float | str | None
    text: str
    plain: bool = False
    cut: str = ""

    def __str__(self) -> str:
        return shown(self.text) if isinstance(self.value, str) else self.text[:80] or "null"


@dataclass(frozen=True)
class Items:
    """A list. `flow` is "written in brackets"."""

    values: tuple[Node, ...]
    flow: bool = False

    def __str__(self) -> str:
        return f"a list of {len(self.values)}"


@dataclass(frozen=True)
class Entries:
    """A mapping. Names are texts, whatever they look like. `flow` is "written in braces"."""

    values: Mapping[str, Node]
    flow: bool = False

    def __str__(self) -> str:
        return f"a mapping of {', '.join(list(self.values)[:5])[:80] or 'nothing'}"


Node = Scalar | Items | Entries
NULL = Scalar(None, "")


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def to_json(node: Node) -> Any:
    """`node` as plain lists, mappings and YAML 1.2 scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [to_json(value) for value in node.values]
    return {name: to_json(value) for name, value in node.values.items()}


def shown(text: str) -> str:
    """A text as messages quote it: not more than a line of it."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
