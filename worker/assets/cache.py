"""What a job names by its hash, brought from the store into this machine's cache.

    <cache>/assets/<sha256>[.safetensors]   LoRAs, checkpoints, files of model folders
    <cache>/trees/<sha256>/                 model folders, by the hash of their manifest
    <cache>/tiny@3/                         the tiny SDXL
    <cache>/linked/<sha256>/                model folders whose files are read where they lie

What this machine has anyway is not brought (worker.assets.in_place). Models of the hub lie
in the hub's own cache (worker.assets.hub). Everything appears whole or not at all, and is verified
before: threads and processes that share a cache never see half a file.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

from common.assets import Part, sha256_file
from common.errors import AssetGone, BadInput, CellError, ObjectMissing, StoreError
from common.job import TINY_BASE, TINY_REFINER, ModelRef
from common.store import Store, disk_errors, link, object_names, prepared
from worker.assets.checkpoints import check_checkpoint, configs_of
from worker.assets.downloads import Downloads
from worker.assets.hub import download, download_configs
from worker.assets.in_place import InPlace
from worker.assets.needs import lora_need, model_need, needing

MANIFEST_BYTES = 4 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")


def _build_tiny(cache_dir: Path) -> Path:
    from worker.assets.tiny_model import cached

    return cached(cache_dir)


class AssetUnreadable(CellError):
    """The store does not give a model or LoRA that the cell needs."""


class Assets:
    """The cache in `cache_dir` in front of `store`. Safe for several threads and processes."""

    def __init__(
        self,
        store: Store,
        cache_dir: Path,
        *,
        downloads: Downloads | None = None,
        build_tiny: Callable[[Path], Path] = _build_tiny,
    ) -> None:
        self.store = store
        self.cache_dir = cache_dir
        self._downloads = downloads or Downloads()
        self._build_tiny = build_tiny
        self._in_place = InPlace(cache_dir)
        self._models: dict[Hashable, Path] = {}
        self._locks: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def lora(self, sha256: str) -> Path:
        """The LoRA's file. Raises BadInput if the store lacks it, and StoreError."""
        what = f"LoRA {sha256[:12]}"
        with needing(lora_need(sha256)):
            return self._once(("LoRA", sha256), lambda: self._file(sha256, ".safetensors", what))

    def model(self, ref: str, part: Part = "base", dtype: str = "fp32") -> Path:
        """The folder of a pipeline or the file of a checkpoint, with what a load as `part` in
        `dtype` needs of it; `ref` is a `ModelRef` or its text. Threads that want the same one
        wait for the first.

        Raises BadInput if the store lacks a part of it or it is unusable, and HubError.
        """
        with needing(model_need(ref, part, dtype)):
            return self._once((ref, part, dtype), lambda: self._model(ModelRef(ref), part, dtype))

    def configs(self, part: Part) -> Path:
        """The folder with settings and tokenizers for a checkpoint. Raises HubError."""
        return self._once(part, lambda: download_configs(configs_of(part), self._downloads))

    def forget_changed(self) -> list[Path]:
        """Files of this machine that were given out, and are not any more what was asked for:
        what was made of them is to be thrown away, and they are not given out again."""
        changed = self._in_place.changed()
        if changed:
            self._models.clear()
        return changed

    def _once(self, key: Hashable, bring: Callable[[], Path]) -> Path:
        """What was brought before is not looked up again, as each cell asks for it."""
        with self._locks[key]:
            path = self._models.get(key)
            if path is None or not path.exists():
                path = self._models[key] = bring()
            return path

    def _model(self, ref: ModelRef, part: Part, dtype: str) -> Path:
        match ref.kind:
            case "builtin":
                return self._tiny(ref)
            case "tree":
                return self._tree(ref)
            case "file":
                return self._checkpoint(ref, part)
            case "hub":
                return download(ref, part, dtype, self._downloads)

    def _tiny(self, ref: ModelRef) -> Path:
        folders = {TINY_BASE: "base", TINY_REFINER: "refiner"}
        if ref not in folders:
            raise BadInput(
                f"this worker knows no model {str(ref)!r}", hint="update gridfarm on the worker"
            )
        with disk_errors(f"cannot write {self.cache_dir}"):
            return self._build_tiny(self.cache_dir) / folders[ref]

    def _checkpoint(self, ref: ModelRef, part: Part) -> Path:
        path = self._file(ref.sha256, ".safetensors", ref.short_name)
        check_checkpoint(path, ref, part)
        self.configs(part)
        return path

    def _file(self, sha256: str, suffix: str, what: str) -> Path:
        path = self._cached(sha256, suffix)
        if path.exists():
            return path
        if there := self._in_place.find(sha256):
            return there
        with disk_errors(f"cannot write {path}"), prepared(path) as partial:
            self._download(sha256, partial, what)
        return path

    def _cached(self, sha256: str, suffix: str) -> Path:
        return self.cache_dir / "assets" / f"{sha256}{suffix}"

    def _download(self, sha256: str, path: Path, what: str) -> None:
        name = object_names.asset(sha256)
        size = self._readable_size(name, sha256, what)
        with self._downloads.follow(what, size) as count:
            self.store.get_file(name, path, count)
        if sha256_file(path) != sha256:
            raise AssetGone(
                f"asset {sha256} is damaged: {name} in the store has another SHA-256; "
                "delete that object and submit the batch again"
            )

    def _readable_size(self, name: str, sha256: str, what: str) -> int:
        """The asset's bytes. Raises AssetGone where it is not there, and AssetUnreadable where the
        store does not give it, be it this one alone or all; trouble of this machine's disk is told
        apart so."""
        try:
            self.store.get_start(name, 1)
            return self.store.size(name)
        except ObjectMissing as error:
            raise self._missing(sha256, what) from error
        except StoreError as error:
            raise AssetUnreadable(error.message, hint=error.hint) from error

    def _missing(self, sha256: str, what: str) -> AssetGone:
        if path := self._in_place.lost(sha256):
            return AssetGone(
                f"{path} was changed or is gone since the batch was ordered, and the store does "
                f"not have what it was ({sha256[:12]})",
                hint="give the same command again: it takes the file as it is then",
            )
        return AssetGone(
            f"{what} is not in the store, nor on this machine as it was when the batch was ordered",
            hint="give the same command again: it takes the file as it is then",
        )

    def _tree(self, ref: ModelRef) -> Path:
        folder = self.cache_dir / "trees" / ref.sha256
        if folder.exists():
            return folder
        what = ref.short_name
        manifest = self._file(ref.sha256, "", what)
        hashes = _manifest(_read(manifest, ref.sha256), ref.sha256)
        files = {path: self._file(sha, "", f"{what}: {path}") for path, sha in hashes.items()}
        if any(file != self._cached(hashes[path], "") for path, file in files.items()):
            with disk_errors(f"cannot write {self.cache_dir}"):
                return self._in_place.folder(files)
        with disk_errors(f"cannot write {folder}"), prepared(folder) as partial:
            for path, file in files.items():
                link(file, partial / path)
        return folder


def _read(path: Path, sha256: str) -> bytes:
    if path.stat().st_size > MANIFEST_BYTES:
        raise _unusable(sha256, f"has a manifest of more than {MANIFEST_BYTES:,} bytes")
    return path.read_bytes()


def _manifest(data: bytes, sha256: str) -> dict[str, str]:
    """The SHA-256 of each file by its relative path. Raises BadInput.

    A manifest comes from whoever may submit a batch, so nothing in it is believed.
    """
    try:
        files = json.loads(data)["files"]
    except (ValueError, TypeError, KeyError, RecursionError):
        files = None
    if not isinstance(files, dict):
        raise _unusable(sha256, "is no manifest of files")
    if not files:
        raise _unusable(sha256, "has no files")
    if len({normalize("NFC", path).casefold() for path in files}) < len(files):
        raise _unusable(sha256, "has two paths that some file systems take for one")
    for path, file_sha256 in files.items():
        if not _is_inside(path) or any(parent in files for parent in _parents(path)):
            raise _unusable(sha256, f"has the path {path[:200]!r}, which is no file inside it")
        if not _is_sha256(file_sha256):
            raise _unusable(sha256, f"has no SHA-256 for {path!r}")
    return files


def _unusable(sha256: str, why: str) -> BadInput:
    return BadInput(f"the model folder tree:{sha256} {why}", hint="submit the batch again")


def _is_inside(path: str) -> bool:
    """Whether it is relative, normalised, and means the same on every system."""
    parts = path.split("/")
    plain = path.isprintable() and "\\" not in path and ":" not in path
    return plain and all(
        part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts
    )


def _parents(path: str) -> Iterator[str]:
    return (path[:at] for at, character in enumerate(path) if character == "/")


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and bool(SHA256.fullmatch(value))
