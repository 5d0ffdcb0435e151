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
from common.errors import BatchFileError
from common.text import meant
from producer.language.axes import tables
from producer.language.axes.ranges import read_range
from producer.language.axes.tables import MAX_VALUES
from producer.language.settings import (
    MAX_SEED,
    WORD,
    Mistake,
    Scope,
    Setting,
    as_plain_text,
    find_setting,
    read_whole,
    source,
)
from producer.language.yaml import NULL, Entries, Items, Node, Scalar, plain, read_yaml, shown

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
        raise Mistake("is spelt emphasise here", "write emphasise: […]")
    return next((key for key in KEYS if key in node.values), None)


def generated(
    key: str, node: Entries, axis: str, setting: Setting | None, scope: Scope
) -> Iterator[Written]:
    """The values of axis `axis` that a generator makes. Raises Mistake."""
    for name in node.values:
        if name not in KEYS[key]:
            raise Mistake(f"{{{key}: …}} takes no {name!r}", meant(name, sorted(KEYS[key])))
    generator = {"file": _file, "files": _files, "emphasise": _emphasise, "random": _random}[key]
    return generator(node, axis, setting, scope)


def in_list(node: Scalar, axis: str, setting: Setting, scope: Scope) -> Iterator[Written]:
    """The numbers of a range that is one entry of a list. Raises Mistake."""
    found: RangeAxis = read_range(axis, setting, node, scope)
    if found.count > MAX_VALUES:
        raise Mistake(f"{node} has {found.count:,} values", "write it as the whole axis")
    return (Written("", None, plain(label)) for label in found.labels())


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
        raise Mistake(
            f"{path.name} has texts, and the values of {axis} are bundles of settings",
            "write a .csv file whose columns are settings",
        )
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
        node, problems = read_yaml(text, "a cell")
    except BatchFileError:
        return plain(text)
    return plain(text) if problems else node


def _path(node: Node, scope: Scope) -> Path:
    text = as_plain_text(node)
    try:
        return scope.base_dir / Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise Mistake(f"{shown(text)}: {error}", "write the folder out") from None


def _files(node: Entries, axis: str, setting: Setting | None, scope: Scope) -> Iterator[Written]:
    if setting is None or setting.kind != "file":
        raise Mistake(f"{axis} takes no files", "{files: …} makes values of model, vae and loras")
    names = tables.found(scope.base_dir, as_plain_text(node.values["files"]))
    stems = Counter(PurePath(name).stem for name in names)
    for name in names:
        stem = PurePath(name).stem
        label = stem if stems[stem] == 1 else name
        written = name if PurePath(name).is_absolute() else f"./{PurePath(name).as_posix()}"
        yield Written(written, label, _file_value(axis, label, written, scope))


def _file_value(axis: str, label: str, written: str, scope: Scope) -> Node:
    """A model's path; a LoRA is named after its file and has the strength 1."""
    if axis != "loras":
        return Scalar(written, written)
    path = source(Scalar(written, written))
    if Path(scope.loras.setdefault(label, path)) != Path(path):
        raise Mistake(f"{label} is another file in lora_files", "rename one of them")
    return Entries({label: Scalar(1.0, "1.0", plain=True)})


def _emphasise(
    node: Entries, axis: str, setting: Setting | None, scope: Scope
) -> Iterator[Written]:
    """All keywords in one text, each in turn with the weight: `(bad hands)++, blurry`."""
    if setting is None or setting.kind != "text":
        raise Mistake(f"{axis} is no text", "{emphasise: …} makes prompts and words")
    weight = as_plain_text(node.values.get("with", NULL)) if "with" in node.values else ""
    if not EMPHASIS.fullmatch(weight):
        raise Mistake(
            f"needs the weight to emphasise with, not {weight!r}", "write with: ++ (or --, or 1.3)"
        )
    keywords = list(_keywords(node.values["emphasise"], axis, scope))
    if len(keywords) > 1000 or sum(map(len, keywords)) > MAX_FILLED:
        raise Mistake(
            f"emphasises {len(keywords):,} keywords of {sum(map(len, keywords)):,} characters",
            f"at most 1,000 of {MAX_FILLED:,} characters are read",
        )
    for at, keyword in enumerate(keywords):
        parts = [*keywords[:at], f"({keyword}){weight}", *keywords[at + 1 :]]
        text = ", ".join(parts)
        yield Written(keyword, keyword, Scalar(text, text))


def _keywords(node: Node, axis: str, scope: Scope) -> Iterator[str]:
    if not isinstance(node, Items) or not node.values:
        raise Mistake(f"must be a list of keywords, not {node}", "write emphasise: [blurry, ugly]")
    for value in node.values:
        if key := generator_in(value):
            assert isinstance(value, Entries)
            if key != "file":
                raise Mistake(f"{{{key}: …}} makes no keywords", "write them out, or {file: …}")
            made = generated(key, value, axis, WORD, scope)
            yield from (as_plain_text(written.node) for written in made)
        else:
            yield as_plain_text(value)


def _random(node: Entries, axis: str, _: Setting | None, _scope: Scope) -> Iterator[Written]:
    if axis != "seed":
        raise Mistake(f"{axis} takes no random values", "{random: …} makes seeds")
    count = read_whole(node.values["random"], 1, MAX_RANDOM)
    start = read_whole(node.values.get("from", Scalar(0, "0")), 0, MAX_SEED)
    per = node.values.get("per")
    if per is not None and as_plain_text(per) != "image":
        raise Mistake(f"per must be image, not {per}", "write per: image, or leave it out")
    for number in range(count):
        if per is None:
            yield Written("", None, plain(numbered_seed(start, number)))
        else:
            settings: dict[str, JsonValue] = {"seed": {"from": str(start)}}
            yield Written("", f"random {number + 1}", NULL, settings)
