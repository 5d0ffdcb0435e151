"""Bundles: the settings that a mapping sets, and the settings of one name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from common.batch import GROUPS
from common.job import warnings
from producer.language.axes.misreadings import check_numbers, torn_numbers, torn_off
from producer.language.mistakes import Finding, Mistake, collecting, read_each
from producer.language.settings import SETTINGS, Scope, find_setting, mapping
from producer.language.yaml import Entries, Node, Scalar

Settings = dict[str, JsonValue]

#: The name of a file of texts or a table, where a text is expected.
LIKE_A_FILE = re.compile(r"[\w./\\-]+\.(txt|csv|tsv)", re.IGNORECASE)

#: Settings whose value is a mapping with numbers in it.
_NESTED = (*GROUPS, "loras", "crop")

_LIKE_NULL = re.compile(r"none|nothing|null|no", re.IGNORECASE)
#: `wolf:a wolf owl:an owl`: lines of names and texts that YAML reads as one text.
_LIKE_LINES = re.compile(r"^-\w.*\s-\w|^\w+:[^\s\d/].*\s\w+:[^\s\d/]")


class BundleReader:
    """Reads what a file sets. `findings` and `notes` collect; what is wrong is left out."""

    def __init__(self, scope: Scope, findings: list[Finding], notes: list[str]) -> None:
        self.scope = scope
        self.findings = findings
        self.notes = notes

    def bundle(self, node: Entries, path: str, word: str = "") -> Settings:
        """The settings written in a mapping; `word` may be set by its own axis alone."""
        settings: Settings = {}
        torn, off = _torn(node)
        for name, value in node.values.items():
            if name in off:
                continue
            place = f"{path}.{name}"
            with collecting(self.findings, place):
                if name in torn:
                    raise torn[name]
                if name.startswith("words."):
                    raise Mistake("word-in-a-bundle")
                flat = f"words.{name}" if name == word else name
                new = self.settings(flat, value, place)
                if again := _set_by(settings) & _set_by(new):
                    raise Mistake("set-again", setting=min(again))
                settings |= new
        return settings

    def settings(self, name: str, node: Node, path: str) -> Settings:
        """What `name: node` sets, checked, with what its writer should know noted."""
        settings = self.read(name, node)
        texts = [v for n, v in settings.items() if isinstance(v, str) and _is_text(n)]
        self.notes += [f"{path}: {note}" for text in texts for note in _notes_on(name, text)]
        if texts and isinstance(node, Scalar) and node.cut:
            self.notes.append(f"{path}: ends before {node.cut!r}; quote it if that is meant")
        return settings

    def read(self, name: str, node: Node) -> Settings:
        """What `name: node` sets, as flat plain JSON. Raises Mistake."""
        if name in _NESTED:
            check_numbers(name, node)
        if name in GROUPS:
            inner = read_each(mapping(node, name), lambda i, value: self._inner(name, i, value))
            return {f"{name}.{i}": value for i, value in inner.items()}
        setting = find_setting(name)
        if setting is None:
            raise Mistake("not-a-setting", node, name=name)
        return {name: setting.read(node, self.scope)}

    def _inner(self, group: str, name: str, node: Node) -> JsonValue:
        setting = SETTINGS.get(f"{group}.{name}")
        if setting is None:
            raise Mistake("not-a-setting-of-the-group", group=group, name=name)
        return setting.read(node, self.scope)


def _torn(node: Entries) -> tuple[dict[str, Mistake], set[str]]:
    """The texts and numbers that commas have torn apart, and the names that are no names."""
    mistakes: dict[str, Mistake] = {}
    off: set[str] = set()
    for name, rest in torn_off(node, is_setting).items():
        value = node.values[name]
        if _is_text(name) and isinstance(value, Scalar):
            mistakes[name] = Mistake("torn-text", text=", ".join([value.text, *rest]))
            off.update(rest)
    for name, parts in torn_numbers(node).items():
        if name not in mistakes:
            mistakes[name] = Mistake("torn-number", name=name, parts=parts)
            off.update(parts[1:])
    return mistakes, off


def is_setting(name: str) -> bool:
    return name in GROUPS or find_setting(name) is not None


def _is_text(name: str) -> bool:
    setting = find_setting(name)
    return setting is not None and setting.kind == "text"


def _notes_on(name: str, text: str) -> Iterator[str]:
    """What the writer of a text should know."""
    yield from warnings(text)
    if _LIKE_NULL.fullmatch(text) and name.endswith("negative_prompt"):
        yield f"draws the word {text!r}; no negative prompt is null"
    if _LIKE_LINES.search(text):
        yield "is one text; put a space behind the colon or hyphen"
    if LIKE_A_FILE.fullmatch(text):
        yield f"draws the words {text!r}; a file is {{file: {text}}}"


def _set_by(settings: Mapping[str, JsonValue]) -> set[str]:
    """The names of what is set, LoRAs one by one: `loras: {style: 1}` sets `loras.style`."""
    loras = settings.get("loras")
    return {*settings, *(f"loras.{name}" for name in (loras if isinstance(loras, dict) else ()))}
