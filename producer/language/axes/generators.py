"""Values that are not written out: `{file: …}`, `{files: …}`, `{emphasise: …}`, `{random: …}`.

Each stands where a value of an axis stands, or for the whole list, and makes several values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType

from pydantic import JsonValue

from common.batch import MAX_FILLED, RangeAxis, numbered_seed
from producer.language.axes import tables
from producer.language.axes.ranges import read_range
from producer.language.axes.tables import MAX_VALUES
from producer.language.mistakes import Mistake
from producer.language.settings import (
    MAX_SEED,
    WORD,
    Scope,
    Setting,
    as_plain_text,
    expanded,
    find_setting,
    read_whole,
    source,
)
from producer.language.yaml import NULL, Entries, Items, Node, Scalar, plain, read_yaml

MAX_RANDOM = 10_000

#: Each generator's key, which is reserved, and all the keys that it takes with what they say.
KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "file": {"file": "A text file, one value a line, or a table of settings (.csv, .tsv)"},
        "files": {"files": "Files by a pattern: ./epochs/*.safetensors; each is a value"},
        "emphasise": {
            "emphasise": "Keywords: all in one text, and one text for each of them weighted",
            "with": "The weight: ++, -- or 1.3",
        },
        "random": {
            "random": "How many seeds",
            "from": "The number that the seeds are made from",
            "per": "image: each picture has a seed of its own; else all share these",
        },
    }
)

EMPHASIS = re.compile(r"\+{1,10}|-{1,10}|\d+(\.\d+)?")


@dataclass(frozen=True)
class Written:
    """One value of an axis as it is to be read. `place` says where it stands, behind the path
    of its list; `settings` are what it sets where that is known already."""

    place: str
    name: str | None
    node: Node
    settings: dict[str, JsonValue] | None = None


def generator_in(node: Node) -> str | None:
    """The key of the generator that `node` is, if it is one. Raises Mistake."""
    if not isinstance(node, Entries):
        return None
    if node.values.keys() >= {"emphasize", "with"}:
        raise Mistake("emphasize")
    return next((key for key in KEYS if key in node.values), None)


def generated(
    key: str, node: Entries, axis: str, setting: Setting | None, scope: Scope
) -> Iterator[Written]:
    """The values of axis `axis` that a generator makes. Raises Mistake."""
    for name in node.values:
        if name not in KEYS[key]:
            raise Mistake("generator-takes-no", key=key, name=name, known=sorted(KEYS[key]))
    generator = {"file": _file, "files": _files, "emphasise": _emphasise, "random": _random}[key]
    return generator(node, axis, setting, scope)


def in_list(node: Scalar, axis: str, setting: Setting, scope: Scope) -> Iterator[Written]:
    """The numbers of a range that is one entry of a list. Raises Mistake."""
    numbers: RangeAxis = read_range(axis, setting, node, scope)
    if numbers.count > MAX_VALUES:
        raise Mistake("long-range-in-a-list", node, values=numbers.count)
    return (Written("", None, plain(label)) for label in numbers.labels())


def _file(node: Entries, axis: str, setting: Setting | None, scope: Scope) -> Iterator[Written]:
    path = _path(node.values["file"], scope)
    if path.suffix.lower() in (".csv", ".tsv"):
        for line, cells in tables.rows(path):
            name = cells.pop("name", None)
            entries = {
                column: _cell(cell, setting if column == axis else find_setting(column))
                for column, cell in cells.items()
            }
            yield Written(f"{path.name} line {line}", name, Entries(entries))
    elif setting is None:
        raise Mistake("texts-for-bundles", file=path.name, axis=axis)
    else:
        for line, text in tables.lines(path):
            value = Scalar(text, text) if setting.kind == "text" else plain(text)
            yield Written(f"{path.name} line {line}", None, value)


def _cell(text: str, setting: Setting | None) -> Node:
    """A cell is read as YAML reads an unquoted text, or as the mapping that it holds where its
    column is no text: `{animal}` is a prompt, `{style: 0.5}` are LoRAs."""
    if text[0] != "{" or (setting is not None and setting.kind == "text"):
        return plain(text)
    try:
        node, findings = read_yaml(text)
    except Mistake:
        return plain(text)
    return plain(text) if findings else node


def _path(node: Node, scope: Scope) -> Path:
    return scope.base_dir / expanded(as_plain_text(node))


def _files(node: Entries, axis: str, setting: Setting | None, scope: Scope) -> Iterator[Written]:
    if setting is None or setting.kind != "file":
        raise Mistake("axis-takes-no-files", axis=axis)
    names = tables.matching(scope.base_dir, as_plain_text(node.values["files"]))
    stems = Counter(PurePath(name).stem for name in names)
    for name in names:
        stem = PurePath(name).stem
        label = stem if stems[stem] == 1 else name
        path = name if PurePath(name).is_absolute() else f"./{PurePath(name).as_posix()}"
        yield Written(path, label, _file_value(axis, label, path, scope))


def _file_value(axis: str, label: str, path: str, scope: Scope) -> Node:
    """A model's path; a LoRA is named after its file and has the strength 1."""
    if axis != "loras":
        return Scalar(path, path)
    lora = source(Scalar(path, path))
    if Path(scope.loras.setdefault(label, lora)) != Path(lora):
        raise Mistake("lora-named-twice", name=label)
    return Entries({label: Scalar(1.0, "1.0", plain=True)})


def _emphasise(
    node: Entries, axis: str, setting: Setting | None, scope: Scope
) -> Iterator[Written]:
    """All keywords in one text, each in turn with the weight: `(bad hands)++, blurry`."""
    if setting is None or setting.kind != "text":
        raise Mistake("axis-is-no-text", axis=axis)
    weight = as_plain_text(node.values.get("with", NULL)) if "with" in node.values else ""
    if not EMPHASIS.fullmatch(weight):
        raise Mistake("emphasis", weight=weight)
    keywords = list(_keywords(node.values["emphasise"], axis, scope))
    length = sum(map(len, keywords))
    if len(keywords) > 1000 or length > MAX_FILLED:
        raise Mistake("too-many-keywords", keywords=len(keywords), length=length, most=MAX_FILLED)
    for number, keyword in enumerate(keywords):
        parts = [*keywords[:number], f"({keyword}){weight}", *keywords[number + 1 :]]
        text = ", ".join(parts)
        yield Written(keyword, keyword, Scalar(text, text))


def _keywords(node: Node, axis: str, scope: Scope) -> Iterator[str]:
    if not isinstance(node, Items) or not node.values:
        raise Mistake("not-keywords", node)
    for value in node.values:
        if key := generator_in(value):
            assert isinstance(value, Entries)
            if key != "file":
                raise Mistake("generator-makes-no-keywords", key=key)
            lines = generated(key, value, axis, WORD, scope)
            yield from (as_plain_text(line.node) for line in lines)
        else:
            yield as_plain_text(value)


def _random(node: Entries, axis: str, _: Setting | None, _scope: Scope) -> Iterator[Written]:
    if axis != "seed":
        raise Mistake("axis-takes-no-random", axis=axis)
    count = read_whole(node.values["random"], 1, MAX_RANDOM)
    start = read_whole(node.values.get("from", Scalar(0, "0")), 0, MAX_SEED)
    per = node.values.get("per")
    if per is not None and as_plain_text(per) != "image":
        raise Mistake("per", per)
    for number in range(count):
        if per is None:
            yield Written("", None, plain(numbered_seed(start, number)))
        else:
            settings: dict[str, JsonValue] = {"seed": {"from": str(start)}}
            yield Written("", f"random {number + 1}", NULL, settings)
