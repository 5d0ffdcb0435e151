"""Results that are there whole or not at all, so that what is there is finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file or a folder; when the block ends well, it is at `path`."""
    partial = path.with_name(f"part-{path.name}")
    if partial.is_dir():
        shutil.rmtree(partial)
    partial.unlink(missing_ok=True)
    yield partial
    partial.rename(path)
