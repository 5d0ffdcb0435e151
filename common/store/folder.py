"""A folder as the object store: one machine, or a network file system."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from common.errors import ObjectMissing
from common.store import protocol
from common.store.local_files import clone, disk_errors, open_input, replacing, share

COPY_BYTES = 1 << 20


class FolderStore:
    """Objects are files under `root`, which the first put makes. See `Store`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def put(self, name: str, data: bytes, *, content_type: str = "") -> None:  # noqa: ARG002
        # A file has no content type: its name's ending tells.
        with self._errors("write", name) as path, replacing(path) as file:
            file.write(data)

    def put_file(self, name: str, path: Path) -> None:
        with (
            self._errors("write", name) as target,
            open_input(path) as source,
            replacing(target) as copy,
        ):
            # Never a link: who writes over their file would write over the object.
            if not clone(source, copy):
                shutil.copyfileobj(source, copy, COPY_BYTES)

    def get(self, name: str, *, most: int = protocol.GET_BYTES) -> bytes:
        with self._reading(name) as path, path.open("rb") as file:
            protocol.check_size(f"{self.url}: {name}", os.fstat(file.fileno()).st_size, most)
            return file.read()

    def get_file(self, name: str, path: Path, on_bytes: protocol.OnBytes | None = None) -> None:
        on_bytes = on_bytes or (lambda _: None)
        with self._reading(name) as source, source.open("rb") as data:
            if share(source, path):
                on_bytes(path.stat().st_size)
                return
            with disk_errors(f"cannot write {path}"), replacing(path) as copy:
                while piece := data.read(COPY_BYTES):
                    copy.write(piece)
                    on_bytes(len(piece))

    def get_start(self, name: str, count: int) -> bytes:
        with self._reading(name) as path, path.open("rb") as file:
            return file.read(count)

    def size(self, name: str) -> int:
        with self._reading(name) as path:
            return path.stat().st_size

    def exists(self, name: str) -> bool:
        try:
            with self._reading(name) as path:
                return S_ISREG(path.stat().st_mode)
        except ObjectMissing:
            return False

    def list(self, prefix: str) -> Iterator[str]:
        protocol.check_prefix(prefix)
        folder = prefix[: prefix.rfind("/") + 1]
        with disk_errors(f"{self.url}: cannot list {prefix or 'it'}"):
            yield from (name for name in self._walk(folder) if name.startswith(prefix))

    def _walk(self, folder: str) -> Iterator[str]:
        """Names below `folder` ("" or ending in "/"), in the order S3 lists them: a folder
        sorts with its slash. Files that begin with a dot are not objects."""
        for name in sorted(_entries(self.root / folder)):
            if name.endswith("/"):
                yield from self._walk(folder + name)
            else:
                yield folder + name

    def folders(self, folder: str) -> Iterator[str]:
        protocol.check_folder(folder)
        with disk_errors(f"{self.url}: cannot list {folder}"):
            below = (name for name in _entries(self.root / folder) if name.endswith("/"))
            for name in sorted(below):
                # A folder whose objects were all deleted stays behind, and is none on S3.
                if any(True for _ in self._walk(folder + name)):
                    yield name.removesuffix("/")

    def own_file(self, name: str) -> Path | None:
        with self._reading(name) as path:
            if not S_ISREG(path.stat().st_mode):
                return None
            with suppress(PermissionError):  # another user's
                path.chmod(0o444)
            return path

    def delete(self, name: str) -> None:
        with self._errors("delete", name) as path:
            path.unlink(missing_ok=True)

    def presign(self, name: str, seconds: int) -> str:  # noqa: ARG002
        # A file on disk needs no signature and does not expire.
        protocol.check_name(name)
        return (self.root / name).as_uri()

    def probe(self) -> None:
        protocol.probe(self)

    @contextmanager
    def _errors(self, action: str, name: str) -> Iterator[Path]:
        """Yield the object's path; what goes wrong with it becomes a StoreError."""
        protocol.check_name(name)
        with disk_errors(f"{self.url}: cannot {action} {name}"):
            yield self.root / name

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """The same for an object that has to be there. Raises ObjectMissing."""
        with self._errors("read", name) as path:
            try:
                yield path
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise ObjectMissing(f"{self.url} has no object {name}") from error


def _entries(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    name = unicodedata.normalize("NFC", entry.name)  # macOS' disks take it apart
                    yield f"{name}/" if entry.is_dir() else name
    except FileNotFoundError:
        return  # a folder that nothing was put into, or that was removed meanwhile
