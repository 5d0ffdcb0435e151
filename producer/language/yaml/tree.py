"""YAML as batch files mean it: safe, bounded, and with the scalars of YAML 1.2.

PyYAML parses; its events become a tree here, without its YAML 1.1 reading of scalars (`no`,
`16:9`, `1_000` and dates are text) and without its constructors. A scalar keeps its text as
written, because only the setting it stands for knows whether `0123` is a text or a number.
Schema: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from common.errors import BatchFileError, Problem

MAX_BYTES = 10_000_000
#: Values in one file, an alias counted as often as it is used, a long text once per 100 characters.
MAX_NODES = 500_000

MAX_DEPTH = 30


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
    """A mapping. Names are texts, whatever they look like."""

    values: Mapping[str, Node]

    def __str__(self) -> str:
        return f"a mapping of {', '.join(list(self.values)[:5])[:80] or 'nothing'}"


def shown(text: str) -> str:
    """A text as messages quote it: not more than a line of it."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


Node = Scalar | Items | Entries
NULL = Scalar(None, "")


def read_yaml(data: str | bytes, file: str) -> tuple[Node, list[Problem]]:
    """The one document in `data`, and the mistakes that did not keep it from being read.

    An empty file reads as NULL. `file` names it in errors. Raises BatchFileError, and no other,
    with the line and column of what cannot be read at all.
    """
    source = _decoded(data, file)
    tree = _Tree(source)
    try:
        node = tree.document()
    except yaml.YAMLError as error:
        raise BatchFileError(file, [_unreadable(error, source)]) from None
    except _Refused as refused:
        raise BatchFileError(file, [*tree.problems, refused.problem]) from None
    return node, tree.problems


def to_json(node: Node) -> Any:
    """`node` as plain lists, mappings and YAML 1.2 scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [to_json(value) for value in node.values]
    return {name: to_json(value) for name, value in node.values.items()}


def plain(text: str) -> Scalar:
    """A text from elsewhere (a table, the command line), read as YAML reads an unquoted one."""
    return Scalar(_core(text), text, plain=True)


def unprintable(text: str) -> tuple[int, str] | None:
    """(line, character) of the first control character, if there is one."""
    found = _UNPRINTABLE.search(text)
    return (_position(text, found.start())[0], found[0]) if found else None


class _Refused(Exception):
    def __init__(self, path: str, message: str, hint: str = "") -> None:
        self.problem = Problem(path, message, hint)


class _Tree:
    """Builds the tree from PyYAML's events; `problems` are mistakes that do not stop it."""

    def __init__(self, source: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events: Iterator[Any] = yaml.parse(source, Loader=loader)
        self.source = source
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.nodes = 0
        self.problems: list[Problem] = []

    def document(self) -> Node:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return NULL
        node = self._node(next(self.events), "", 0)
        next(self.events)  # the end of the document
        extra = next(self.events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise _Refused("", f"{_line(extra)} starts a second document", "remove the ---")
        return node

    def _node(self, event: Any, path: str, depth: int) -> Node:
        self._count(1)
        if depth > MAX_DEPTH:
            raise _Refused("", f"{_line(event)} nests more than {MAX_DEPTH} deep", "flatten it")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            mend = "remove it" if tag.startswith("!!") else f'quote the text: "{tag} …"'
            raise _Refused(path, f"{_line(event)} has the tag {tag}", mend)
        before = self.nodes
        if event.anchor:
            self.anchors[event.anchor] = None
        node = self._of_kind(event, path, depth)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.nodes - before + 1)
        return node

    def _of_kind(self, event: Any, path: str, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(tuple(self._values(path, depth)), flow=bool(event.flow_style))
        return Entries(dict(self._entries(path, depth)))

    def _values(self, path: str, depth: int) -> Iterator[Node]:
        number = 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            number += 1
            yield self._node(event, f"{path}.{number}".strip("."), depth + 1)

    def _entries(self, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        lines: dict[str, str] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self._name(event, path, depth)
            place = f"{path}.{name}".strip(".")
            if name in lines:
                message = f"is written twice: {lines[name]} and {_line(event)}"
                self.problems.append(Problem(place, message, "keep one, or rename one"))
            lines[name] = _line(event)
            yield name, self._node(next(self.events), place, depth + 1)

    def _name(self, event: Any, path: str, depth: int) -> str:
        key = self._node(event, path, depth + 1)
        if not isinstance(key, Scalar):
            message = f"{_line(event)}: a name must be a text, not {key}"
            raise _Refused(path, message, "quote the prompt if this is one")
        if key.text == "<<":
            raise _Refused(path, f"{_line(event)}: << is not read", "write the settings out")
        return key.text

    def _scalar(self, event: Any, path: str) -> Scalar:
        text = str(event.value)
        self._count(len(text) // 100)
        if character := _UNPRINTABLE.search(text):
            message = f"{_line(event)} has the control character {character[0]!r}"
            self.problems.append(Problem(path, message, "remove it"))
        if not event.implicit[0]:
            return Scalar(text, text)
        return Scalar(_core(text), text, plain=True, cut=self._behind(event))

    def _behind(self, event: Any) -> str:
        """`#1 dad` behind `a sign saying`; comments with a space, as in `# x`, are comments."""
        end = event.end_mark.index
        match = _CUT.match(self.source, end) if end < len(self.source) else None
        return match[1].strip() if match else ""

    def _alias(self, event: Any, path: str) -> Node:
        found = self.anchors.get(event.anchor)
        if found is None:
            problem = f"{_line(event)}: *{event.anchor} names nothing written above it"
            raise _Refused(path, problem, "quote the prompt if it starts with *")
        node, size = found
        self._count(size)
        return node

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise _Refused("", f"the file has more than {MAX_NODES:,} values", "use a range")


_INT = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)
_CUT = re.compile(r"[ \t]+(#[^\s#][^\n]{0,80})")


def _core(text: str) -> bool | int | float | str | None:
    """A plain scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text


def _decoded(data: str | bytes, file: str) -> str:
    """The file's text, without a byte order mark. Raises BatchFileError."""
    if len(data) > MAX_BYTES:
        message = f"the file has more than {MAX_BYTES:,} bytes"
        raise BatchFileError(file, [Problem("", message, "is it a batch file?")])
    if isinstance(data, bytes):
        data = _utf8(data, file)
    text = data.removeprefix("\ufeff")
    if character := _UNPRINTABLE.search(text):
        line, column = _position(text, character.start())
        message = f"line {line}, column {column} has the control character {character[0]!r}"
        raise BatchFileError(file, [Problem("", message, "remove it; is it a batch file?")])
    return text


def _utf8(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"line {line} is not UTF-8: the byte {data[error.start]:#04x}"
        raise BatchFileError(file, [Problem("", message, "save the file as UTF-8")]) from None


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _unreadable(error: yaml.YAMLError, source: str) -> Problem:
    """PyYAML's error as a place and what to do about it."""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "is not YAML"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem("", str(what), "check the brackets and quotes")
    message = f"line {mark.line + 1}, column {mark.column + 1}: {what}"
    return Problem("", message, _mend(error, mark, source))


def _mend(error: yaml.YAMLError, mark: Any, source: str) -> str:
    """How to write the place that cannot be read."""
    lines = source.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    context = str(getattr(error, "context", ""))
    opening = getattr(error, "context_mark", None)
    if "\t" in line[: mark.column + 1] and not line[: mark.column].strip():
        return "indent with spaces, not with a tab"
    if "quoted scalar" in context and opening and opening.line != mark.line:
        return f"close the quote that opens in line {opening.line + 1}"
    if "flow" in context and opening:
        return f"close the bracket of line {opening.line + 1}, and quote the prompts in it"
    if "block mapping" in context and line.lstrip().startswith("- "):
        return "- value and name: value do not mix in one list; use one of the two"
    if "block collection" in context and not line.lstrip().startswith("- "):
        return "- value and name: value do not mix in one list; use one of the two"
    if compared := _COMPARED.search(line):
        return f'quote the comparison: "{compared[1]}"'
    if (value := _VALUE.match(line)) and _NEEDS_QUOTES.search(value[1]):
        return f"quote the prompt: {_quoted(value[1])}"
    return "check the indentation, and quote the prompt if this is one"


#: `seed: > 5`: YAML takes the sign for the beginning of a text of several lines, or a tag.
_COMPARED = re.compile(r":\s*([<>!]=?\s*-?[\w.]+)")

#: A line's value, which in a list of prompts is all of it but the hyphen.
_VALUE = re.compile(r"^\s*(?:- +(?:(?:negative_)?prompt: +)?|[\w.-]+: +)(\S.*)$")

_NEEDS_QUOTES = re.compile(r"^[\[{\"'*&!%@`|>#]|: ")


def _quoted(text: str) -> str:
    short = text.strip() if len(text) <= 100 else f"{text[:99].strip()}…"
    if short[:1] == "'" == short[-1:] and '"' not in short and len(short) > 2:
        return f'"{short[1:-1]}"'  # 'a wolf's den'
    return "'" + short.replace("'", "''") + "'"
