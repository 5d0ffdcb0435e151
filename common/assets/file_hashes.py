"""The SHA-256 of this machine's files, remembered in the cache folder.

    <cache>/file-hashes.json    path → SHA-256, and the stamp of the file that was hashed

A file is the one that was hashed as long as its stamp is the same: size, times, inode, device. Of
one that was written within the last moments before it was hashed nobody can tell so, as a clock's
next tick may not have come when it is written again; it is hashed once more when it is asked for.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.assets.safetensors import sha256_file
from common.errors import InputFileError
from common.store import prepared

FILE, LOCK = "file-hashes.json", "file-hashes.lock"
#: The coarsest clock of a file system, that of FAT, has ticks of two seconds.
SETTLED_NS = 2_000_000_000
#: Bytes; hashing a file of so many takes more than a moment.
LARGE, MB = 100_000_000, 1_000_000
LOCK_TRIES, LOCK_PAUSE_S = 50, 0.1


Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from the next; times in ns. The time of the inode is among
    them, as a program may set the other back (`cp -p`, `rsync -t`)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Raises OSError."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)

    def is_of(self, path: Path) -> bool:
        """Whether the file is there and has this stamp."""
        try:
            return Stamp.of(path) == self
        except OSError:
            return False


@dataclass(frozen=True)
class HashedFile:
    """A file's SHA-256, the stamp that it had, and when its reading began, in ns since 1970."""

    sha256: str
    stamp: Stamp
    hashed_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether the file would have another stamp if it was written since."""
        return max(self.stamp.mtime_ns, self.stamp.ctime_ns) + SETTLED_NS < self.hashed_ns


class FileHashes:
    """What `cache_dir` remembers, as it is now; nothing, and for this run alone, with None.

    Many processes may share the folder. A memory that is damaged is an empty one, and with
    `anew` nothing in it is believed. `progress` is told how far the hashing of a large file is,
    in MB. Not safe for several threads.
    """

    def __init__(
        self,
        cache_dir: Path | None,
        *,
        anew: bool = False,
        progress: Progress = lambda _what, _done, _of: None,
    ) -> None:
        self._progress = progress
        self._cache_dir = cache_dir
        self._files = {} if anew or cache_dir is None else _read(cache_dir / FILE)
        self._new: dict[str, HashedFile] = {}

    def sha256(self, path: Path) -> str:
        """The file's SHA-256; `save` keeps it for later. Raises InputFileError for one that cannot
        be read, or is being written."""
        return self.look(path).sha256

    def look(self, path: Path) -> HashedFile:
        """The same with the stamp of the file that has it. Raises the same."""
        name = str(path.absolute())
        known = self._files.get(name)
        if known is None or not known.is_settled or not known.stamp.is_of(path):
            known = self._files[name] = self._new[name] = self._hashed(path)
        return known

    def paths_of(self, sha256: str) -> list[Path]:
        """Where such a file was; `look` says whether it still is."""
        return [Path(name) for name, known in self._files.items() if known.sha256 == sha256]

    def find(self, sha256: str) -> Path | None:
        """A file that had it and is as it was; nothing is read."""
        there = (path for path in self.paths_of(sha256) if self._files[str(path)].stamp.is_of(path))
        return next(there, None)

    def save(self) -> None:
        """Remember what was hashed, and forget files that are gone. Where the folder cannot be
        written nothing is remembered, which costs time alone."""
        if self._cache_dir is None or not self._new:
            return
        with suppress(OSError), _alone(self._cache_dir):
            files = _read(self._cache_dir / FILE) | self._new
            there = {name: known for name, known in files.items() if os.access(name, os.F_OK)}
            with prepared(self._cache_dir / FILE) as partial:
                partial.write_text(
                    json.dumps({name: asdict(known) for name, known in there.items()})
                )
        self._new = {}

    def _hashed(self, path: Path) -> HashedFile:
        now = time.time_ns()
        try:
            before = Stamp.of(path)
            sha256 = sha256_file(path, self._counting(path, before.size))
            after = Stamp.of(path)
        except OSError as error:
            raise InputFileError(f"cannot read {path}: {error.strerror}") from error
        if before != after:
            raise InputFileError(
                f"{path} was written while it was read",
                hint="wait until it is whole, then give the command again",
            )
        return HashedFile(sha256, before, now)

    def _counting(self, path: Path, size: int) -> Callable[[int], None] | None:
        done = 0

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            self._progress(f"hashing {path.parent.name}/{path.name}, MB", done // MB, size // MB)

        return on_bytes if size >= LARGE else None


def _read(file: Path) -> dict[str, HashedFile]:
    try:
        return dict(_entries(json.loads(file.read_bytes())))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _entries(document: Any) -> Iterable[tuple[str, HashedFile]]:
    for name, entry in document.items():
        stamp = Stamp(**entry.pop("stamp"))
        yield name, HashedFile(stamp=stamp, **entry)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out. Raises OSError, where one that stands still holds it too."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as lock:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_S)
        else:
            raise TimeoutError(f"{folder / LOCK} is held by another process")
        yield
