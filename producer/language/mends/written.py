"""A part of a file as it should be, on one line, with its quotes and brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable

from producer.language.yaml import Entries, Items, Node, Scalar

#: Longer lines show their key alone.
MOST = 200

_NEEDS_QUOTES = re.compile(r"""[,\[\]{}]|: |:$| #|^[\s#&*!|>%@`"'?-]|\s$|^$""")


def line(key: str, node: Node | str) -> str:
    """`steps: [20, 30]`; `steps: …` where that would be long."""
    written = node if isinstance(node, str) else value(node)
    return f"{key}: {written if len(written) <= MOST else '…'}"


def value(node: Node) -> str:
    if isinstance(node, Items):
        return texts(map(value, node.values))
    if isinstance(node, Entries):
        return f"{{{', '.join(f'{name}: {value(node)}' for name, node in node.values.items())}}}"
    return text(node)


def text(node: Scalar) -> str:
    """Quoted where it was, and where it has to be."""
    is_text = isinstance(node.value, str)
    if node.plain and not (is_text and _NEEDS_QUOTES.search(node.text)):
        return node.text
    return quoted(node.text)


def quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def texts(written: Iterable[str]) -> str:
    return f"[{', '.join(written)}]"
