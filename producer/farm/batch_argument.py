"""What a person may give as a batch, and the changes to it that make a trial of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from common.batch import slug
from producer.batches import FoundBatch
from producer.language import ENDINGS, BatchFile, load_batch_file
from producer.lint import notes_on_batch
from producer.progress import Say
from producer.trial import limited, only_where, with_model, with_settings

#: A path, a batch file's text, what it would say as a mapping, or a word for a batch that is in
#: the store already: its id, the beginning of that, its name, `@last`. Also what became of one of
#: these: a batch file that was read, a batch that was found.
BatchArgument = str | os.PathLike[str] | Mapping[str, object] | BatchFile | FoundBatch
#: `"prompt=wolf"`, several such, or `{"prompt": "wolf", "steps": ["> 20", "< 50"]}`.
Where = str | Iterable[str] | Mapping[str, object]
#: `"steps=10"`, several such, or `{"steps": 10}`.
Set = str | Iterable[str] | Mapping[str, object]

#: How mistakes call a batch file that is none.
IN_TEXT, IN_MAPPING = Path("the text"), Path("the mapping")

#: Characters of a trial's folder.
LONGEST_LABEL = 50

_CELL = re.compile(r"^(?P<batch>.+)#(?P<i>\d+)$")
_COMPARISON = re.compile(r"\s*[<>!]")
#: JSON is YAML too, apart from these: as they are, YAML refuses them or reads a line break.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def read_argument(batch: BatchArgument) -> BatchFile | FoundBatch | str:
    """The batch file that `batch` is, or else the word for one that the store has.

    A mapping is what a batch file would say, and so is a text with a line break or a `: ` in
    it; paths in them are relative to the current folder. A path object, a name that ends in
    .yaml or .yml, and one that a file has is a path. All other texts are words.

    Raises BatchFileError with every mistake, and InputFileError.
    """
    if isinstance(batch, BatchFile | FoundBatch):
        return batch
    if isinstance(batch, Mapping):
        return load_batch_file(IN_MAPPING, text=as_yaml(batch), base_dir=Path.cwd())
    if isinstance(batch, str) and ("\n" in batch or ": " in batch):
        return load_batch_file(IN_TEXT, text=batch, base_dir=Path.cwd())
    path = Path(batch)
    if not isinstance(batch, str) or batch.endswith(ENDINGS) or path.is_file():
        return load_batch_file(path, base_dir=path.parent)
    return batch


def picture_file(what: BatchArgument) -> Path | None:
    """The picture that a path names, and not a batch file or a batch; None if it is none."""
    if not isinstance(what, str | os.PathLike):
        return None
    path = Path(what)
    named = path.suffix.lower() == ".png" or (path.exists() and path.suffix not in ENDINGS)
    return path if named else None


def cell_of(what: BatchArgument) -> tuple[BatchArgument, int | None]:
    """`night#3` as the batch and the cell's number; None without one."""
    cell = _CELL.match(what) if isinstance(what, str) else None
    return (cell["batch"], int(cell["i"])) if cell else (what, None)


@dataclass(frozen=True)
class TrialOptions:
    """What is changed of a batch for a trial: `--set`, `--where`, `--limit` and `--model`."""

    set: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    limit: int | None = None
    model: str | None = None

    @property
    def label(self) -> str:
        """`trial-steps-5-limit-2`, as a folder's name; "" where nothing is changed."""
        model = [f"model {self.model}"] if self.model else []
        limit = [f"limit {self.limit}"] if self.limit else []
        parts = [*model, *self.set, *self.where, *limit]
        text = " ".join(["trial", *parts])
        name = slug(text)
        if len(name) > LONGEST_LABEL:  # the end may be what tells two apart
            name = f"{name[:LONGEST_LABEL].rstrip('-')}-{sha256(text.encode()).hexdigest()[:6]}"
        return name if parts else ""

    @classmethod
    def of(cls, set: Set, where: Where, limit: int | None, model: str | None) -> TrialOptions:
        return cls(set_options(set), where_options(where), limit, model)


def tried(file: BatchFile, options: TrialOptions, say: Say, cache_dir: Path) -> BatchFile:
    """`file` as the options change it, its notes with those of the prompt checks, each of them
    said aloud. Raises UsageError."""
    changed = with_settings(file, options.set, say)
    if options.model:
        changed = with_model(changed, options.model, say, cache_dir)
    batch = only_where(changed.batch, options.where) if options.where else changed.batch
    if options.limit:
        batch = limited(batch, options.limit)
    changed = replace(changed, batch=batch)
    notes = (*changed.notes, *notes_on_batch(changed))
    for note in notes:
        say(f"note: {note}")
    return replace(changed, notes=notes)


def set_options(written: Set) -> tuple[str, ...]:
    """As `--set` takes them: `steps=10`."""
    if isinstance(written, Mapping):
        return tuple(f"{name}={_as_option(value)}" for name, value in written.items())
    return (written,) if isinstance(written, str) else tuple(written)


def where_options(written: Where) -> tuple[str, ...]:
    """As `--where` takes them: `prompt=wolf`, `steps>20`."""
    if isinstance(written, Mapping):
        return tuple(option for axis, kept in written.items() for option in _kept(axis, kept))
    return (written,) if isinstance(written, str) else tuple(written)


def _kept(axis: str, kept: object) -> Iterator[str]:
    values = kept if isinstance(kept, list | tuple | set | frozenset | range) else (kept,)
    for value in values:
        text = _as_option(value)
        yield f"{axis}{text}" if _COMPARISON.match(text) else f"{axis}={text}"


def _as_option(value: object) -> str:
    return value if isinstance(value, str) else as_yaml(value)


def as_yaml(value: object) -> str:
    """Python's own value as YAML on one line, texts quoted whatever they hold."""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    """What JSON has no word for: paths, ranges, numbers of NumPy."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return value.item() if hasattr(value, "item") else str(value)
