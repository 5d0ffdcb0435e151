"""From a batch file to a frozen batch: every model pinned, every LoRA known by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import rfc8785

from common.assets import FileHashes, check_lora_file, files_in
from common.batch import Batch
from common.errors import BatchFileError, InputFileError, Problem
from common.job import TINY_LORAS, HubName, ModelRef
from common.store import Store
from common.text import mean_path
from producer.language import BatchFile
from producer.progress import ProgressCallback, show_no_progress
from producer.submission.hub import Hub, recorded_commit
from producer.submission.needs import (
    Need,
    check_local,
    check_on_hub,
    needs_of,
    notes_on_this_machine,
    pinned,
)

MODEL_FILES = {".json", ".txt", ".model", ".safetensors"}
Say = Callable[[str], None]


@dataclass
class Resolved:
    """The batch, and what has to be uploaded: SHA-256 → file or bytes."""

    batch: Batch
    assets: dict[str, Path | bytes] = field(default_factory=dict)

    def without_files_in(self, cache_dir: Path) -> Resolved:
        """Without the files that workers with this cache folder find where they lie."""
        hashes = FileHashes(cache_dir)
        left = {
            sha256: content
            for sha256, content in self.assets.items()
            if isinstance(content, bytes) or hashes.find(sha256) is None
        }
        return replace(self, assets=left)


def resolve(
    file: BatchFile,
    hub: Hub,
    cache_dir: Path | None = None,
    progress: ProgressCallback = show_no_progress,
) -> Resolved:
    """Pin everything; asks the hub. Files whose hash `cache_dir` remembers are not read. Raises
    InputFileError and HubError."""
    needs = needs_of(file.batch)
    if hub.renders_here:
        for note in notes_on_this_machine(needs):
            hub.say(f"note: {note}")
    hashes = FileHashes(cache_dir, progress=progress)
    resolver = _Resolver(
        file.base_dir,
        lambda name: hub.commit(name),
        lambda name: hub.lora(name, hashes),
        hashes,
        needs,
    )
    resolved = resolver.resolve(file)
    check_on_hub(pinned(needs, resolved.batch), resolved.batch, hub)
    return resolved


def resolve_offline(
    file: BatchFile,
    store: Store | None,
    cache_dir: Path | None = None,
    progress: ProgressCallback = show_no_progress,
    *,
    anew: bool = False,
    needs: Sequence[Need] = (),
) -> Batch:
    """Pin what local files and the store's memory can pin; `batch.unresolved` is the rest. With
    `anew` every file is hashed, whatever `cache_dir` remembers; with its `needs` local models are
    refused that cannot be loaded. Raises InputFileError."""

    def commit(name: HubName) -> str | None:
        return recorded_commit(store, name, "revision") if store else None

    def lora(name: HubName) -> tuple[str | None, None]:
        return (recorded_commit(store, name, "sha256") if store else None), None

    hashes = FileHashes(cache_dir, anew=anew, progress=progress)
    return _Resolver(file.base_dir, commit, lora, hashes, needs).resolve(file).batch


@dataclass
class _Resolver:
    base_dir: Path
    commit: Callable[[HubName], str | None]
    hub_lora: Callable[[HubName], tuple[str | None, Path | None]]
    hashes: FileHashes
    needs: Sequence[Need] = ()
    assets: dict[str, Path | bytes] = field(default_factory=dict)

    def resolve(self, file: BatchFile) -> Resolved:
        try:
            return self._resolved(file)
        finally:  # what was hashed for long is kept, whatever ends it
            self.hashes.save()

    def _resolved(self, file: BatchFile) -> Resolved:
        mistakes: list[tuple[str, InputFileError]] = []
        models, loras = dict(file.batch.models), dict(file.batch.loras)
        for name in [name for name, ref in models.items() if not ref]:
            with _noting(mistakes, f"{self._field(name)} {name}"):
                models[name] = self._model(name)
        for name in [name for name, sha256 in loras.items() if not sha256]:
            with _noting(mistakes, f"lora_files.{name}"):
                loras[name] = self._lora(file.lora_sources[name])
        if mistakes:
            raise _all_of(mistakes)
        batch = file.batch.model_copy(update={"models": models, "loras": loras})
        _refuse_twins(file, batch)
        return Resolved(batch, self.assets)

    def _model(self, written: str) -> ModelRef | None:
        path = self.base_dir / Path(written).expanduser()
        needs = [need for need in self.needs if need.written == written]
        if path.is_dir():
            return ModelRef(f"tree:{self._folder(path, needs)}")
        if path.is_file():
            return ModelRef(f"file:{self._checkpoint(path, needs)}")
        name = HubName.parse(written)
        if not name or name.file:
            raise InputFileError(
                f"the model {written!r} is neither a folder nor a file ({path})",
                hint=mean_path(path)
                or "a model is sdxl, tiny, a hub id owner/name, a folder in the hub's layout "
                "or one .safetensors file",
            )
        commit = self.commit(name)
        return name.at(commit) if commit else None

    def _field(self, written: str) -> str:
        fields = (need.field for need in self.needs if need.written == written)
        return ", ".join(dict.fromkeys(fields)) or "model"

    def _folder(self, path: Path, needs: Sequence[Need]) -> str:
        """The SHA-256 of the folder's manifest `{"files": {relative path: sha256}}`."""
        if not any((path / index).is_file() for index in ("model_index.json", "config.json")):
            raise InputFileError(
                f"{path} is no model folder: it has neither model_index.json nor config.json",
                hint="name the folder that `save_pretrained` wrote",
            )
        check_local(path, needs)
        files = {}
        for name in files_in(path):
            if Path(name).suffix in MODEL_FILES:
                files[name] = self._file(path / name)
        manifest = rfc8785.dumps({"files": files})
        sha256 = hashlib.sha256(manifest).hexdigest()
        self.assets[sha256] = manifest
        return sha256

    def _checkpoint(self, path: Path, needs: Sequence[Need]) -> str:
        if path.suffix != ".safetensors":
            raise InputFileError(
                f"the model {path} is not a .safetensors file",
                hint="gridfarm loads no pickles (.ckpt, .bin, .pt); convert it once",
            )
        check_local(path, needs)
        return self._file(path)

    def _file(self, path: Path) -> str:
        sha256 = self.hashes.sha256(path)
        self.assets[sha256] = path
        return sha256

    def _lora(self, written: str) -> str | None:
        path = TINY_LORAS.get(written) or self.base_dir / Path(written).expanduser()
        hub_name = None if path.exists() else HubName.parse(written)
        if hub_name is None:
            check_lora_file(path)
            return self._file(path)
        sha256, downloaded = self.hub_lora(hub_name)
        if downloaded:
            check_lora_file(downloaded)
            self.assets[str(sha256)] = downloaded
        return sha256


@contextmanager
def _noting(mistakes: list[tuple[str, InputFileError]], place: str) -> Iterator[None]:
    try:
        yield
    except InputFileError as error:
        mistakes.append((place, error))


def _all_of(mistakes: list[tuple[str, InputFileError]]) -> InputFileError:
    """One error that names every place, so that all local files are mended in one go."""
    message = "\n".join(f"{place}: {error.message}" for place, error in mistakes)
    return InputFileError(message, hint="; ".join(dict.fromkeys(e.hint for _, e in mistakes)))


def _refuse_twins(file: BatchFile, batch: Batch) -> None:
    """Two names for one LoRA file in a cell: applied twice or once? Nobody could tell."""
    problems = []
    for layer in batch.layers():
        loras: Any = layer.get("loras") or {}
        hashes = [batch.loras[name] for name in loras if batch.loras[name]]
        if len(set(hashes)) < len(hashes):
            problems.append(
                Problem(
                    "loras",
                    f"{', '.join(loras)} are the same file",
                    "name each LoRA file once in a cell",
                )
            )
    if problems:
        raise BatchFileError(file.batch.name, problems)
