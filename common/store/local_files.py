"""Local files: written whole or not at all, and the disk's errors as the store's."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from common.errors import InputFileError, StoreError, StoreFull, StoreRefused, StoreUnreachable

#: How the name of a file begins that is still being written.
PARTIAL = ".partial-"

#: Linux' request for a clone (<linux/fs.h>); other systems know none of this number.
FICLONE = 0x40049409

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM}
NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
#: What a network file system answers when its server or its disk is away.
GONE = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}


def file_in(path: str | os.PathLike[str], name: str) -> Path:
    """The file that `path` names; where it is a folder, or ends in a slash, `name` in it."""
    written = os.fspath(path)
    is_folder = Path(written).is_dir() or written.endswith(("/", os.sep))
    return Path(written, name) if is_folder else Path(written)


@contextmanager
def prepared(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` for a file or a folder; when the block ends well, what it made
    there is at `path`, and otherwise it is removed.

    A file replaces the one that was there. A folder does not: where another process was first
    with it, that one's stays. Raises OSError.
    """
    make_folder(path.parent)
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        yield partial
        _move(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


def _move(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except OSError:
        if not (partial.is_dir() and path.is_dir()):
            raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to; when the block ends well, it is on disk as `path`.

    The content is synced before the rename and the folder after it, so that a crash leaves
    the old file or the new one. Raises OSError.
    """
    with prepared(path) as partial, partial.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def link(source: Path, path: Path) -> None:
    """As `share`, or a copy where the file system has neither clones nor links. Raises OSError."""
    if not share(source, path):
        with prepared(path) as partial:
            shutil.copyfile(source, partial)


def clone(source: BinaryIO, copy: BinaryIO) -> bool:
    """Give `copy` the blocks of `source`, which both have until either is written to; False where
    the file system cannot (Btrfs, XFS and ZFS can, on one disk), and nothing was done."""
    try:
        fcntl.ioctl(copy, FICLONE, source.fileno())
    except OSError:
        return False
    return True


def share(source: Path, path: Path) -> bool:
    """Let `path` be `source` without a copy, over what was there: a clone, else a second name.
    False where the file system has neither, as between two disks, and nothing was done."""
    with suppress(OSError), prepared(path) as partial:
        if not _cloned(source, partial):
            os.link(source.resolve(), partial)
        return True
    return False


def _cloned(source: Path, path: Path) -> bool:
    with source.open("rb") as data, path.open("xb") as copy:
        if clone(data, copy):
            os.fsync(copy.fileno())
            return True
    path.unlink()
    return False


def open_input(path: Path) -> BinaryIO:
    """A local file that a person named. Raises InputFileError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; each survives a crash."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(place: str) -> Iterator[None]:
    """Raise the operating system's errors as StoreErrors that begin with `place`."""
    try:
        yield
    except OSError as error:
        raise _disk_error(place, error) from error


def _disk_error(place: str, error: OSError) -> StoreError:
    message = f"{place}: {error.strerror or error}"
    if error.errno in FULL:
        return StoreFull(message, hint="free space on that disk, or raise the quota")
    if error.errno == errno.EROFS:
        return StoreFull(message, hint="mount it writable, or choose another folder")
    if error.errno in REFUSED:
        return StoreRefused(message, hint="give this user the right to read and write there")
    if error.errno in NOT_A_FOLDER:
        return StoreRefused(message, hint="a file lies where a folder is needed, or the reverse")
    if error.errno in GONE:
        return StoreUnreachable(message, hint="check that the disk or its server is there")
    return StoreError(message)
