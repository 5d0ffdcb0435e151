"""A folder that shows one batch as it is: `images/` with its pictures under readable names, and
its sheets.

A note in the folder says which files are the view's own. Of those goes what another batch has left
there, as every picture stays in the store; what a person put there, or has changed, stays.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.batch import Matrix
from common.errors import GridfarmError, UsageError
from common.picture import decode_meta, is_stored
from common.store import Store, prepared, replacing
from producer.pictures import FetchReport, fetch_pictures
from producer.progress import ProgressCallback, Say
from producer.sheet import SheetTooLarge, all_rows, save, sheets_of_batch
from producer.wording import counted

SHEET = "grid.png"
#: The note: path from the folder → `_mark` of each file.
NOTE = ".view.json"
#: Where a picture goes that the view does not show any more and the store has not: nobody else
#: may have it.
KEPT = "not-in-the-store"


@dataclass(frozen=True)
class View:
    """The folder of one batch."""

    folder: Path
    store: Store
    say: Say
    progress: ProgressCallback

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def show(self, matrix: Matrix, *, due: Container[int]) -> FetchReport:
        """Bring in the pictures that are stored, and take out what is not of this batch. `due` are
        the cells whose pictures should be there. Raises StoreError and UsageError."""
        report = fetch_pictures(
            matrix, self.store, self.images, self.say, self.progress, due=due, linked=True
        )
        with self._errors():
            self._take_out_others({*report.written, *report.skipped})
            self._note([*report.written, *report.skipped, *self._sheets_there()])
        return report

    def draw(self, matrix: Matrix, batch_id: str) -> tuple[Path, ...]:
        """The sheets; none if they would be too large: every picture is there, so that is no
        failure."""
        drawn: list[Path] = []
        try:
            sheets = sheets_of_batch(matrix, batch_id, self.store, rows=all_rows(matrix))
            drawn = save(sheets, self.folder / SHEET)
        except SheetTooLarge as too_large:
            self.say(f"no grid is drawn: {too_large.message}")
        with self._errors():
            for earlier in self._sheets_there():
                if earlier not in drawn:
                    earlier.unlink()
            pictures = [path for path in self._own() if path.is_relative_to(self.images)]
            self._note([*pictures, *drawn])
        return tuple(drawn)

    def _take_out_others(self, shown: set[Path]) -> None:
        kept = 0
        for path in self._own():
            if path in shown or not path.is_relative_to(self.images):
                continue
            if (key := _key_of(path)) is None or is_stored(self.store, key):
                path.unlink()
            else:
                _move(path, self.folder / KEPT / path.relative_to(self.images))
                kept += 1
        for folder in sorted(_folders(self.images), reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        if kept:
            what = counted(kept, "earlier picture")
            self.say(f"{what} that the store has no more: now in {self.folder / KEPT}")

    def _sheets_there(self) -> list[Path]:
        return [path for path in self._own() if path.parent == self.folder]

    def _own(self) -> list[Path]:
        """The files that the view has written, as they were."""
        try:
            noted = dict(json.loads((self.folder / NOTE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return []
        paths = ((self.folder / name, mark) for name, mark in noted.items())
        return [path for path, mark in paths if _mark(path) == mark]

    def _note(self, paths: Iterable[Path]) -> None:
        marks = {str(path.relative_to(self.folder)): _mark(path) for path in paths}
        with replacing(self.folder / NOTE) as file:
            file.write(json.dumps(marks).encode())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"cannot write in {self.folder}: {error.strerror or error}",
                hint="choose another folder",
            ) from error


def _mark(path: Path) -> list[int] | None:
    """What changes when somebody writes to a file or puts another in its place; None for none."""
    try:
        stat = path.lstat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _folders(below: Path) -> Iterator[Path]:
    return (path for path in below.rglob("*") if path.is_dir() and not path.is_symlink())


def _key_of(path: Path) -> str | None:
    """The key of a picture that gridfarm has made; None for anything else."""
    try:
        return decode_meta(path.read_bytes()).job.key
    except (OSError, GridfarmError):
        return None


def _move(path: Path, target: Path) -> None:
    """Over what is there: it has the same name, and is as old."""
    with prepared(target) as partial:
        path.rename(partial)
