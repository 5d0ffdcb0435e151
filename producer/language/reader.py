"""The batch file's language: text in, a validated Batch out, or all of its mistakes at once.

Here are the keys at the top; what stands under them is read by the neighbours. Paths in messages
are dotted and count list entries from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common.batch import AnyAxis, Batch
from common.errors import BatchFileError, InputFileError, Problem
from common.job import TINY_LORAS
from common.text import mean_path
from producer.language.axes import AxisReader, BundleReader, Settings, check_name
from producer.language.conditions import Conditions
from producer.language.mends import problem_of
from producer.language.mistakes import MAX_FINDINGS, EnoughMistakes, Finding, Mistake, collecting
from producer.language.references import with_references
from producer.language.settings import DEFAULTS, SETTINGS, Scope, entries, mapping, source
from producer.language.whole_file_checks import (
    check_cells,
    notes_on_ignored_negatives,
    overlaps,
    too_many,
    without_prompt,
)
from producer.language.words import check_words_together, words_of
from producer.language.yaml import MAX_BYTES, NULL, Entries, Node, Scalar, is_null, read_yaml

MAX_NAME = 100
ENDINGS = (".yaml", ".yml")
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
    data = _contents(path) if text is None and path is not None else text or ""
    reader = _Reader(base_dir)
    batch = reader.read(data, _default_name(path))
    if batch is None:
        problems = [_readable(problem_of(finding)) for finding in reader.findings[:MAX_FINDINGS]]
        raise BatchFileError("standard input" if path is None else str(path), problems)
    return BatchFile(batch, base_dir, reader.lora_sources, _few(reader.notes))


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
        hint = mean_path(path, ENDINGS) or "name a batch file, or - for standard input"
        raise InputFileError(f"cannot read {str(path)!r}: {reason}", hint=hint) from None


class _Reader:
    """One pass over a file; `findings` and `notes` are what it finds on the way."""

    def __init__(self, base_dir: Path) -> None:
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.lora_sources: dict[str, str] = {}
        self._base_dir = base_dir

    def read(self, data: str | bytes, default_name: str) -> Batch | None:
        """The whole file as a Batch; None when it has mistakes."""
        batch = None
        with suppress(EnoughMistakes), collecting(self.findings):
            root, findings = read_yaml(data)
            self.findings += findings
            batch = self._batch(self._top(root), default_name)
        return None if self.findings else batch

    def _batch(self, top: Mapping[str, Node], default_name: str) -> Batch | None:
        name = self._name(top.get("name", NULL)) or default_name
        self._lora_files(top.get("lora_files", NULL))
        reader = AxisReader(self._scope(top), self.findings, self.notes)
        settings = self._settings(top, reader.bundles)
        axes = tuple(reader.axes(top))
        self._check_axes(settings, axes, reader.paths)
        conditions = Conditions(axes, reader.bundles, reader.broken)
        exclude, only = (
            tuple(conditions.read(top.get(key, NULL), key, self.findings))
            for key in ("exclude", "only")
        )
        if self.findings:
            return None
        batch = Batch(name=name, settings=settings, axes=axes, exclude=exclude, only=only)
        return self._checked(with_references(batch))

    def _top(self, root: Node) -> dict[str, Node]:
        """The entries at the top; a key with nothing behind it is as if not written."""
        if not isinstance(root, Entries):
            self._found("empty-file" if is_null(root) else "file-not-a-mapping", node=root)
            return {}
        for key, node in root.values.items():
            if key not in KEYS:
                self._found("no-such-key", key, node=node, name=key, known=KEYS)
        return {key: value for key, value in root.values.items() if not is_null(value)}

    def _name(self, node: Node) -> str | None:
        if is_null(node):
            return None
        if not isinstance(node, Scalar):
            self._found("batch-name-not-text", "name", node=node)
            return None
        if not node.text.strip() or len(node.text) > MAX_NAME:
            self._found("batch-name-length", "name", length=len(node.text), most=MAX_NAME)
        return node.text

    def _lora_files(self, node: Node) -> None:
        with collecting(self.findings, "lora_files"):
            for name, value in mapping(node, "lora_files").items():
                self.lora_sources[name] = ""
                with collecting(self.findings, f"lora_files.{name}"):
                    check_name(name)
                    self.lora_sources[name] = source(value, tuple(TINY_LORAS))

    def _scope(self, top: Mapping[str, Node]) -> Scope:
        words = top.get("words", NULL)
        names = frozenset(words.values) if isinstance(words, Entries) else frozenset[str]()
        return Scope(self.lora_sources, names, self._base_dir)

    def _settings(self, top: Mapping[str, Node], bundles: BundleReader) -> Settings:
        settings: Settings = {}
        with collecting(self.findings, "settings"):
            written = entries(top.get("settings", NULL), "settings")
            settings = bundles.bundle(written, "settings")
        if "model" in top:
            with collecting(self.findings, "model"):
                if "model" in settings:
                    raise Mistake("model-in-settings-too")
                settings |= bundles.settings("model", top["model"], "model")
        return {**DEFAULTS, **settings}

    def _check_axes(
        self, settings: Settings, axes: tuple[AnyAxis, ...], paths: Mapping[str, str]
    ) -> None:
        self.findings += overlaps(axes, paths)
        if not self.findings and "prompt" not in settings:
            self.findings += without_prompt(axes, paths)
        self.findings += too_many(axes)

    def _checked(self, batch: Batch) -> Batch:
        """With what its writer should know noted."""
        with collecting(self.findings):
            written = list(batch.layers())
            self.notes += check_words_together(batch.axes, written)
        self.notes += notes_on_ignored_negatives(batch.settings, batch.axes)
        unused = [name for name in self.lora_sources if name not in batch.loras]
        self.notes += [f"lora_files.{name}: no cell uses it" for name in unused]
        with collecting(self.findings):
            check_cells(batch)
        return batch

    def _found(self, kind: str, path: str = "", **facts: Any) -> None:
        self.findings.append(Finding(kind, facts, path))
