"""YAML as batch files mean it: safe, bounded, and with the scalars of YAML 1.2.

PyYAML parses; its events become a tree here, without its YAML 1.1 reading of scalars (`no`,
`16:9`, `1_000` and dates are text) and without its constructors. A scalar keeps its text as
written, because only the setting it stands for knows whether `0123` is a text or a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from producer.language.mistakes import Finding, Mistake
from producer.language.yaml.errors import unreadable
from producer.language.yaml.nodes import NULL, Entries, Items, Node, Scalar
from producer.language.yaml.scalars import plain
from producer.language.yaml.source import UNPRINTABLE, decoded

#: Values in one file, an alias counted as often as it is used, a long text once per 100 characters.
MAX_NODES = 500_000

MAX_DEPTH = 30

#: `#1 dad` behind `a sign saying`; comments with a space, as in `# x`, are comments.
_CUT = re.compile(r"[ \t]+(#[^\s#][^\n]{0,80})")


def read_yaml(data: str | bytes) -> tuple[Node, list[Finding]]:
    """The one document in `data`, and the mistakes that did not keep it from being read.

    An empty file reads as NULL. Raises Mistake, and nothing else, for what cannot be read at
    all.
    """
    source = decoded(data)
    tree = _Tree(source)
    try:
        return tree.document(), tree.findings
    except yaml.YAMLError as error:
        raise unreadable(error, source) from None
    except Mistake as mistake:
        raise Mistake.combined([*tree.findings, *mistake.findings]) from None


class _Tree:
    """Builds the tree from PyYAML's events; `findings` are mistakes that do not stop it."""

    def __init__(self, source: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events: Iterator[Any] = yaml.parse(source, Loader=loader)
        self.source = source
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.nodes = 0
        self.findings: list[Finding] = []

    def document(self) -> Node:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return NULL
        node = self._node(next(self.events), "", 0)
        next(self.events)  # the end of the document
        extra = next(self.events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise Mistake("second-document", line=_line(extra))
        return node

    def _node(self, event: Any, path: str, depth: int) -> Node:
        self._count(1)
        if depth > MAX_DEPTH:
            raise Mistake("too-deep", line=_line(event), most=MAX_DEPTH)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise Mistake("tag", path=path, line=_line(event), tag=tag)
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
        return Entries(dict(self._entries(path, depth)), flow=bool(event.flow_style))

    def _values(self, path: str, depth: int) -> Iterator[Node]:
        number = 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            number += 1
            yield self._node(event, f"{path}.{number}".strip("."), depth + 1)

    def _entries(self, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name, line = self._name(event, path, depth), _line(event)
            place = f"{path}.{name}".strip(".")
            if name in lines:
                self._note("name-twice", place, first=lines[name], line=line)
            lines[name] = line
            yield name, self._node(next(self.events), place, depth + 1)

    def _name(self, event: Any, path: str, depth: int) -> str:
        key = self._node(event, path, depth + 1)
        if not isinstance(key, Scalar):
            raise Mistake("name-not-text", key, path=path, line=_line(event))
        if key.text == "<<":
            raise Mistake("merge-key", path=path, line=_line(event))
        return key.text

    def _scalar(self, event: Any, path: str) -> Scalar:
        text = str(event.value)
        self._count(len(text) // 100)
        if character := UNPRINTABLE.search(text):
            self._note("control-character", path, line=_line(event), character=character[0])
        if not event.implicit[0]:
            return Scalar(text, text)
        return plain(text, cut=self._behind(event))

    def _behind(self, event: Any) -> str:
        """The comment right behind a text."""
        end = event.end_mark.index
        match = _CUT.match(self.source, end) if end < len(self.source) else None
        return match[1].strip() if match else ""

    def _alias(self, event: Any, path: str) -> Node:
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            raise Mistake("no-such-anchor", path=path, line=_line(event), anchor=event.anchor)
        node, size = anchored
        self._count(size)
        return node

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise Mistake("too-many-nodes", most=MAX_NODES)

    def _note(self, kind: str, path: str, **facts: Any) -> None:
        self.findings.append(Finding(kind, facts, path))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
