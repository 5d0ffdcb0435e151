"""What lies in a folder, a disk that refuses, and one that clones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from common.store.local_files import FICLONE


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def raising(number: int) -> Callable[..., None]:
    """A function that fails as the operating system does, with this errno."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def cloning(copy: BinaryIO, request: int, source: int) -> None:
    """`fcntl.ioctl` on a file system that clones, as Btrfs and XFS do."""
    assert request == FICLONE
    os.copy_file_range(source, copy.fileno(), os.fstat(source).st_size)
