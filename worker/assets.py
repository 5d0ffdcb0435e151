"""What a job names by its hash, brought from the store into this machine's cache.

    <cache>/assets/<sha256>[.safetensors]   LoRAs, checkpoints, files of model folders
    <cache>/trees/<sha256>/                 model folders, by the hash of their manifest
    <cache>/tiny@1/                         the tiny SDXL

Everything appears whole or not at all, and is verified before: threads and processes that
share a cache never see half a file.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import keys
from common.errors import BadInput, ObjectMissing
from common.files import disk_errors
from common.job import TINY_BASE, TINY_REFINER
from common.safetensors_file import sha256_file
from common.store import Store

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubModel:
    """A model on the hub, at one commit."""

    id: str
    revision: str


def _build_tiny(cache_dir: Path) -> Path:
    from worker.tiny import cached

    return cached(cache_dir)


class Assets:
    """The cache in `cache_dir` in front of `store`. Safe for several threads and processes."""

    def __init__(
        self,
        store: Store,
        cache_dir: Path,
        *,
        build_tiny: Callable[[Path], Path] = _build_tiny,
    ) -> None:
        self.store = store
        self.cache_dir = cache_dir
        self._build_tiny = build_tiny

    def lora(self, sha256: str) -> Path:
        """The LoRA's file. Raises BadInput if the store lacks it, and StoreError."""
        return self._file(sha256, ".safetensors")

    def model(self, ref: str) -> Path | HubModel:
        """A pipeline's folder, a checkpoint's file or a model on the hub.

        Raises BadInput if the store lacks a part of it or its manifest is unusable.
        """
        if ref in (TINY_BASE, TINY_REFINER):
            part = "base" if ref == TINY_BASE else "refiner"
            with disk_errors(f"cannot write {self.cache_dir}"):
                return self._build_tiny(self.cache_dir) / part
        kind, _, sha256 = ref.partition(":")
        if kind == "tree":
            return self._tree(sha256)
        if kind == "file":
            return self._file(sha256, ".safetensors")
        hub_id, at, revision = ref.partition("@")
        if not at or "/" not in hub_id:
            raise BadInput(
                f"this worker knows no model {ref!r}", hint="update gridfarm on the worker"
            )
        return HubModel(hub_id, revision)

    def _file(self, sha256: str, suffix: str = "") -> Path:
        path = self.cache_dir / "assets" / f"{sha256}{suffix}"
        if not path.exists():
            with self._partial(path) as partial:
                self._download(sha256, partial / "file")
                (partial / "file").replace(path)
        return path

    def _download(self, sha256: str, path: Path) -> None:
        name = keys.asset(sha256)
        try:
            self.store.get_file(name, path)
        except ObjectMissing as error:
            raise BadInput(f"asset {sha256} is not in the store; submit the batch again") from error
        if sha256_file(path) != sha256:
            raise BadInput(
                f"asset {sha256} is damaged: {name} in the store has another SHA-256; "
                "delete that object and submit the batch again"
            )

    def _tree(self, sha256: str) -> Path:
        folder = self.cache_dir / "trees" / sha256
        if not folder.exists():
            files = _manifest(self._file(sha256).read_bytes(), sha256)
            with self._partial(folder) as partial:
                for path, file_sha256 in files.items():
                    _link(self._file(file_sha256), partial / "tree" / path)
                _rename(partial / "tree", folder)
        return folder

    @contextmanager
    def _partial(self, target: Path) -> Iterator[Path]:
        """A folder beside `target` to prepare it in; the disk's errors are the store's."""
        with disk_errors(f"cannot write {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
                yield Path(partial)


def _manifest(data: bytes, sha256: str) -> dict[str, str]:
    """The SHA-256 of each file by its relative path. Raises BadInput.

    A manifest comes from whoever may submit a batch, so nothing in it is believed.
    """
    try:
        files: dict[str, Any] = dict(json.loads(data)["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unusable(sha256, "is no manifest of files") from None
    if not files:
        raise _unusable(sha256, "has no files")
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


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _rename(partial: Path, folder: Path) -> None:
    """Another process may have been first; its folder has the same hash."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
