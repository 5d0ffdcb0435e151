"""The batch file's language: text in, a validated Batch out, or all of its mistakes at once.

Read by its neighbours: `spec_yaml` (YAML to a tree), `spec_values` (what each setting takes),
`spec_axes` (the one rule of the language) with `spec_ranges`, `spec_generators` and `spec_files`,
`spec_conditions` and `spec_words`. Here are the keys at the top and what must hold for the
whole. Paths in messages are dotted and count list entries from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from common.batch import LORA, MAX_AXES, MAX_CELLS, AnyAxis, Axis, Batch, Layer, Matrix, Value
from common.errors import BatchFileError, GridfarmError, InputFileError, Problem
from common.job import TINY_LORAS
from common.text import meant
from producer.language.axes import TOP_AXES, AxisReader, Settings, check_name
from producer.language.conditions import Conditions
from producer.language.references import with_references
from producer.language.settings import (
    DEFAULTS,
    MAX_PROBLEMS,
    SETTINGS,
    EnoughMistakes,
    Mistake,
    Scope,
    as_text,
    is_null,
    mapping,
    noting,
    source,
)
from producer.language.words import check_words_together, words_of
from producer.language.yaml import MAX_BYTES, NULL, Entries, Items, Node, Scalar, read_yaml

MAX_NAME = 100
MAX_NOTES = 20

#: The keys at the top, and what stands under each.
KEYS: Mapping[str, str] = MappingProxyType(
    {
        "name": "What the batch is called; if left out, as its file",
        "model": SETTINGS["model"].about,
        "settings": "What every picture starts from: {setting: value}",
        "lora_files": "Names for LoRAs: {name: a .safetensors file or a hub id}",
        "words": "What {name} in a prompt stands for: {animal: [wolf, cat]}; each an axis",
        "prompts": "What to draw: [text, …], name: text, or name: {prompt: text, seed: 7}",
        "seeds": "One, a list, a range (0..9, 10 seeds), or {random: 8, from: 7}",
        "variants": "What is compared, each a bundle of settings: name: {setting: value}",
        "axes": "What else varies, usually a setting: {steps: [20, 50], size: [1024x1024]}",
        "exclude": "Cells to leave out: [{axis: value}]; all that an entry names must match",
        "only": "Cells to keep, the opposite of exclude: those that any entry matches",
    }
)

_BUNDLE_AXES = frozenset({"prompt", "variant"})


@dataclass(frozen=True)
class BatchFile:
    """A batch file that was read: the batch, the folder that its paths are relative to, each
    LoRA's file or hub id by its name, and what its writer should know."""

    batch: Batch
    base_dir: Path
    lora_sources: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        """What a value that is set later, on the command line, may refer to."""
        words = frozenset(words_of(self.batch))
        return Scope(self.lora_sources, words, self.base_dir)


def load_batch_file(path: Path | None, *, text: str | None = None, base_dir: Path) -> BatchFile:
    """Read the batch file at `path`, or `text` (then `path` only names it; None is stdin).

    Raises BatchFileError with every mistake found, or InputFileError if it can't be opened.
    """
    file = "standard input" if path is None else str(path)
    data = _contents(path) if text is None and path is not None else text or ""
    try:
        root, problems = read_yaml(data, file)
    except BatchFileError as error:
        raise _failed(file, error.problems) from None
    reader = _Reader(problems, base_dir)
    try:
        batch = reader.batch(root, _default_name(path))
    except EnoughMistakes:
        batch = None
    if batch is None:
        raise _failed(file, problems)
    return BatchFile(batch, base_dir, reader.lora_sources, _few(reader.notes))


def _failed(file: str, problems: Sequence[Problem]) -> BatchFileError:
    """With what can be read of the problems, however long the texts in them are."""
    return BatchFileError(file, [_readable(problem) for problem in problems[:MAX_PROBLEMS]])


def _readable(problem: Problem) -> Problem:
    parts = (problem.path, problem.message, problem.hint)
    return Problem(*(part if len(part) <= 500 else f"{part[:499]}…" for part in parts))


def _default_name(path: Path | None) -> str:
    """The file's, also where that is not UTF-8."""
    stem = path.stem if path else ""
    return stem.encode(errors="replace").decode()[:MAX_NAME] or "batch"


def _few(notes: list[str]) -> tuple[str, ...]:
    """Each note once, and not more than can be read."""
    once = [*dict.fromkeys(notes)]
    more = [f"and {len(once) - MAX_NOTES:,} more notes"] if len(once) > MAX_NOTES else []
    return (*once[:MAX_NOTES], *more)


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "name a batch file, or - for standard input"
        raise InputFileError(f"cannot read {str(path)!r}: {reason}", hint=hint) from None


class _Reader:
    """One pass over a file; `problems` and `notes` are what it finds on the way."""

    def __init__(self, problems: list[Problem], base_dir: Path) -> None:
        self.problems = problems
        self.notes: list[str] = []
        self.lora_sources: dict[str, str] = {}
        self._base_dir = base_dir

    def batch(self, root: Node, default_name: str) -> Batch | None:
        """The whole file as a Batch; None when it has problems."""
        top = self._top(root)
        name = self._name(top.get("name", NULL)) or default_name
        self._lora_files(top.get("lora_files", NULL))
        words = top.get("words", NULL)
        names = frozenset(words.values) if isinstance(words, Entries) else frozenset[str]()
        scope = Scope(self.lora_sources, names, self._base_dir)
        reader = AxisReader(scope, self.problems, self.notes)
        settings = self._settings(top, reader)
        axes = tuple(reader.axes(top))
        self._check_whole(settings, axes, reader)
        conditions = Conditions(axes, reader)
        exclude, only = (
            tuple(conditions.read(top.get(key, NULL), key, self.problems))
            for key in ("exclude", "only")
        )
        if self.problems:
            return None
        batch = Batch(name=name, settings=settings, axes=axes, exclude=exclude, only=only)
        with noting(self.problems, ""):
            self.notes += check_words_together(axes, batch.layers())
        self._note_ignored_negatives(settings, axes)
        batch = with_references(batch)
        unused = [name for name in self.lora_sources if name not in batch.loras]
        self.notes += [f"lora_files.{name}: no cell uses it" for name in unused]
        self._check_cells(batch)
        return None if self.problems else batch

    def _check_cells(self, batch: Batch) -> None:
        try:
            if Matrix(batch).cells == 0:
                self._wrong("", "exclude and only leave no cell", "remove a condition")
        except GridfarmError as error:
            self._wrong("", error.message, error.hint)

    def _top(self, root: Node) -> dict[str, Node]:
        """The entries at the top; a key with nothing behind it is as if not written."""
        if not isinstance(root, Entries):
            what = "is empty" if is_null(root) else f"must be a mapping, not {root}"
            self._wrong("", f"the batch file {what}", 'start with prompts: ["A wolf"]')
            return {}
        for key in root.values:
            if key not in KEYS:
                self._wrong(key, "is not a key of a batch file", _key_hint(key, root.values[key]))
        return {key: value for key, value in root.values.items() if not is_null(value)}

    def _name(self, node: Node) -> str | None:
        if is_null(node):
            return None
        if not isinstance(node, Scalar):
            self._wrong("name", f"must be a text, not {node}")
        elif not node.text.strip() or len(node.text) > MAX_NAME:
            self._wrong("name", f"must have 1 to {MAX_NAME} characters, not {len(node.text)}")
        return node.text if isinstance(node, Scalar) else None

    def _lora_files(self, node: Node) -> None:
        with noting(self.problems, "lora_files"):
            for name, value in mapping(node, "{name: file or hub id}").items():
                self.lora_sources[name] = ""
                with noting(self.problems, f"lora_files.{name}"):
                    check_name(name)
                    self.lora_sources[name] = source(value, tuple(TINY_LORAS))

    def _settings(self, top: Mapping[str, Node], reader: AxisReader) -> Settings:
        settings: Settings = {}
        with noting(self.problems, "settings"):
            written = mapping(top.get("settings", NULL), "{setting: value}")
            settings = reader.bundle(Entries(written), "settings")
        if "model" in top:
            with noting(self.problems, "model"):
                if "model" in settings:
                    raise Mistake("is in settings too", "keep one of the two")
                settings |= reader.settings("model", top["model"], "model")
        return {**DEFAULTS, **settings}

    def _check_whole(
        self, settings: Settings, axes: tuple[AnyAxis, ...], reader: AxisReader
    ) -> None:
        self._check_overlaps(axes, reader.paths)
        if not self.problems and "prompt" not in settings:
            self._check_prompts(axes, reader.paths)
        if len(axes) > MAX_AXES:
            self._wrong("", f"has {len(axes):,} axes", f"at most {MAX_AXES} are read")
        lengths = [axis.count for axis in axes[:MAX_AXES]]
        if (cells := math.prod(lengths)) > MAX_CELLS:
            product = " × ".join(f"{length:,}" for length in lengths)
            self._wrong("", f"{product} makes {cells:,} cells", f"at most {MAX_CELLS:,} are read")

    def _check_overlaps(self, axes: tuple[AnyAxis, ...], paths: Mapping[str, str]) -> None:
        """Only a variant may set what another axis sets too, and only over a prompt."""
        owners: dict[str, str] = {}
        for axis in axes:
            if axis.name not in _BUNDLE_AXES:
                for setting in sorted(axis.setting_names()):
                    if owner := _owner(setting, owners):
                        self._overlap(paths[axis.name], setting, owner)
                for setting in axis.setting_names():
                    owners[setting] = paths[axis.name]
        for axis in axes:
            if axis.name in _BUNDLE_AXES:
                for setting in sorted(axis.setting_names()):
                    if owner := _owner(setting, owners):
                        first = next(v.label for v in _values(axis) if setting in v.settings)
                        self._overlap(owner, setting, f"{paths[axis.name]}.{first}")

    def _overlap(self, path: str, setting: str, other: str) -> None:
        self._wrong(path, f"sets {setting}, which {other} sets too", f"keep {setting} in one")

    def _check_prompts(self, axes: tuple[AnyAxis, ...], paths: Mapping[str, str]) -> None:
        """Every cell has a prompt: from the settings, or from all values of some axis."""
        without = None
        for axis in axes:
            missing = [value.label for value in _values(axis) if "prompt" not in value.settings]
            if not missing:
                return
            if "prompt" in axis.setting_names():
                without = f"{paths[axis.name]}.{missing[0]}"
        self._wrong(without or "prompts", "has no prompt", 'write prompts: ["A wolf"]')

    def _note_ignored_negatives(self, settings: Layer, axes: tuple[AnyAxis, ...]) -> None:
        """Two values of one axis are never in one cell."""
        groups: list[list[Layer]] = [[settings]]
        groups += [[*axis.layers()] for axis in axes]
        placed = [(place, layer) for place, group in enumerate(groups) for layer in group]
        negative = [found for found in placed if found[1].get("negative_prompt") is not None]
        for place, layer in placed:
            scale = layer.get("guidance_scale")
            low = isinstance(scale, float) and scale <= 1
            if low and any(own is layer or other != place for other, own in negative):
                said = f"at guidance_scale {as_text(scale)} negative prompts have no effect"
                self.notes.append(said)
                return

    def _wrong(self, path: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint))


def _values(axis: AnyAxis) -> tuple[Value, ...]:
    """The values of an axis; the first one stands for all of a range."""
    return axis.values if isinstance(axis, Axis) else (axis.value(0),)


def _owner(setting: str, owners: Mapping[str, str]) -> str | None:
    """Which axis sets it; `loras` and one LoRA alone (`loras.style`) are in each other's way."""
    if setting == "loras":
        return next((path for name, path in owners.items() if name.startswith(LORA)), None) or (
            owners.get(setting)
        )
    return owners.get(setting) or (owners.get("loras") if setting.startswith(LORA) else None)


def _key_hint(key: str, value: Node) -> str:
    if f"{key}s" in TOP_AXES:
        return f"write {key}s:"
    if key in SETTINGS and isinstance(value, Items):
        return f"write it under axes: {{{key}: […]}}"
    if key in SETTINGS:
        return f"write it under settings: {{{key}: …}}"
    return meant(key, KEYS)
