"""What lies in a folder, and a disk that refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def raising(number: int) -> Callable[..., None]:
    """A function that fails as the operating system does, with this errno."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
