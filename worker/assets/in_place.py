"""Files of a person's that lie on this machine, read where they lie.

`gridfarm render` brings none of them into the store: the cache folder remembers what was hashed
there (`common.assets.FileHashes`). Such a file may change at any time, while it is read and after
(on a CPU weights stay on disk until they are needed), so whoever reads it asks `changed` before
what was made of it is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from common.assets import FileHashes, Stamp
from common.errors import CellError, InputFileError
from common.store import link, prepared


class FileChanged(CellError):
    """A file was changed while a picture was made with it."""


class InPlace:
    """What of this machine's files is in use here. Safe for several threads."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._in_use: dict[tuple[Path, Stamp], str] = {}
        self._lost: dict[str, Path] = {}

    def find(self, sha256: str) -> Path | None:
        """A file with these bytes; one that looks as it did when it was hashed is not read."""
        hashes = FileHashes(self._cache_dir)
        for path in hashes.paths_of(sha256):
            with suppress(InputFileError):
                found = hashes.look(path)
                hashes.save()
                # Who shares the cache may have hashed a file that this user may not read.
                if found.sha256 == sha256 and os.access(path, os.R_OK):
                    self._in_use[path, found.stamp] = sha256
                    return path
            self._lost[sha256] = path
        return None

    def lost(self, sha256: str) -> Path | None:
        """Where such a file was before it was changed, moved or deleted."""
        return self._lost.get(sha256)

    def changed(self) -> list[Path]:
        """The files that are not what they were when they were found; they are not in use then."""
        changed = []
        for (path, stamp), sha256 in list(self._in_use.items()):
            if not stamp.is_of(path):
                self._in_use.pop((path, stamp), None)
                self._lost[sha256] = path
                changed.append(path)
        return changed

    def folder(self, files: Mapping[str, Path]) -> Path:
        """One that has each of `files`, some of them a person's, under its relative path.

        Its name is made of all that it leads to, so what is in it never changes. Raises OSError.
        """
        leads_to = {name: f"{path} {Stamp.of(path)}" for name, path in files.items()}
        sha256 = hashlib.sha256(json.dumps(leads_to, sort_keys=True).encode()).hexdigest()
        folder = self._cache_dir / "linked" / sha256
        if not folder.exists():
            with prepared(folder) as partial:
                for name, path in files.items():
                    ours = path.is_relative_to(self._cache_dir / "assets")
                    (link if ours else _lead)(path, partial / name)
        return folder


def _lead(path: Path, name: Path) -> None:
    """To a person's file. It gets no second name, which would make it look changed; a copy where
    the file system has no symbolic links. Raises OSError."""
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        name.symlink_to(path)
    except OSError:
        shutil.copyfile(path, name)
