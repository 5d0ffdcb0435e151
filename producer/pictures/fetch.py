"""A batch's pictures as files with readable names (`producer.pictures.file_names`)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from common.batch import ENUMERATE_UP_TO, Cell, Matrix
from common.errors import UsageError
from common.store import Store, link, object_names, replacing
from producer.pictures.examine import Fault, Flaw, flaw_of
from producer.pictures.file_names import cell_paths
from producer.pictures.flaws import Inspector
from producer.progress import ProgressCallback, Say, say_nothing, show_no_progress

READ_THREADS = 8
#: So many pictures are handed to the threads at a time, so that no list of a million is made.
AT_ONCE = 512

Done = Literal["written", "skipped", "missing", "flawed"]


@dataclass(frozen=True)
class FetchReport:
    """The files that were written, those that were there already, those whose picture is not
    rendered yet, and those whose picture was not taken, with what is wrong with it.

    `noted`: the store took a note of it, by which `retry` knows what is damaged."""

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    missing: tuple[Path, ...]
    flawed: Mapping[Path, Flaw] = field(default_factory=dict)
    noted: bool = True

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """One for each picture: several files may want the same."""
        return tuple({flaw.i: flaw for flaw in self.flawed.values()}.values())

    @property
    def lost(self) -> tuple[Path, ...]:
        """Files whose picture was stored and is not there any more."""
        return self._wanting("missing")

    @property
    def damaged(self) -> tuple[Path, ...]:
        return self._wanting("damaged")

    @property
    def unreadable(self) -> tuple[Path, ...]:
        return self._wanting("unreadable")

    def _wanting(self, fault: Fault) -> tuple[Path, ...]:
        return tuple(path for path, flaw in self.flawed.items() if flaw.fault == fault)


@dataclass
class _Group:
    """The cells of one picture: the first of them, and where each belongs."""

    cell: Cell
    paths: list[Path]


@dataclass
class _Fetched:
    """What became of a group's files, and of the picture if it was not taken."""

    files: dict[Path, Done] = field(default_factory=dict)
    flaw: Flaw | None = None


def fetch_pictures(
    matrix: Matrix,
    store: Store,
    folder: Path,
    say: Say = say_nothing,
    progress: ProgressCallback = show_no_progress,
    *,
    batch_id: str = "",
    due: Container[int] = (),
    linked: bool = False,
) -> FetchReport:
    """Fetch every stored picture of a batch into `folder`; `batch_id` is what it is stored under,
    by default its own id, and `due` are the cells whose pictures should be there. `linked`: a
    file is the store's own where that is a folder, and so can only be read (`Store.own_file`).

    A file that holds its cell's picture already is left alone, so a broken fetch resumes. Cells
    with equal pictures share one download. What is damaged is not taken, and is noted in the
    store for `retry`; where that takes no note, `say` is told. `progress` is called from this
    thread after each file. Raises StoreError where not a picture but the store is the trouble,
    and UsageError for a folder that cannot be written.
    """
    inspector = Inspector(batch_id or matrix.batch.id, store)
    files: dict[Done, list[Path]] = {"written": [], "skipped": [], "missing": [], "flawed": []}
    flawed: dict[Path, Flaw] = {}

    def fetch_group(group: _Group) -> _Fetched:
        return _fetch_group(inspector, folder, group, linked=linked, is_due=group.cell.i in due)

    groups = _groups(matrix, folder)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        while chunk := list(islice(groups, AT_ONCE)):
            for fetched in pool.map(fetch_group, chunk):
                flawed |= dict.fromkeys(fetched.files, fetched.flaw) if fetched.flaw else {}
                for path, done in fetched.files.items():
                    files[done].append(path)
                    progress("fetching pictures", sum(map(len, files.values())), matrix.cells)
    inspector.tell(say)
    return FetchReport(
        written=tuple(files["written"]),
        skipped=tuple(files["skipped"]),
        missing=tuple(files["missing"]),
        flawed=flawed,
        noted=not inspector.refused,
    )


def _groups(matrix: Matrix, folder: Path) -> Iterator[_Group]:
    """A matrix too large to enumerate gives cell by cell."""
    alone = (_Group(cell, [folder / path]) for cell, path in cell_paths(matrix, matrix))
    if len(matrix) > ENUMERATE_UP_TO:
        return alone
    groups: dict[str, _Group] = {}
    for one in alone:
        groups.setdefault(one.cell.key, _Group(one.cell, [])).paths.extend(one.paths)
    return iter(groups.values())


def _fetch_group(
    inspector: Inspector, folder: Path, group: _Group, *, linked: bool, is_due: bool
) -> _Fetched:
    """Bring one picture to all its paths: one download, or with `linked` perhaps none, then
    links."""
    files: dict[Path, Done] = {p: "skipped" for p in group.paths if _holds(p, group.cell)}
    wanted = [path for path in group.paths if path not in files]
    source = next(iter(files), None)
    if source is None:
        png = inspector.read(group.cell, due=is_due)
        if isinstance(png, Flaw):
            return _not_taken(group, None if png.fault == "missing" and not is_due else png)
        name = object_names.picture(group.cell.key)
        source = inspector.store.own_file(name) if linked else None
        if source is None:
            source = _written(png, wanted.pop(0), folder)
            files[source] = "written"
    for path in wanted:
        with _writing(folder, path):
            link(source, path)
        files[path] = "written"
    return _Fetched(files)


def _not_taken(group: _Group, flaw: Flaw | None) -> _Fetched:
    return _Fetched(dict.fromkeys(group.paths, "flawed" if flaw else "missing"), flaw)


def _written(png: bytes, path: Path, folder: Path) -> Path:
    with _writing(folder, path), replacing(path) as file:
        file.write(png)
    return path


def _holds(path: Path, cell: Cell) -> bool:
    """Whether `path` is that picture, whole."""
    try:
        return not flaw_of(path.read_bytes(), cell.job)
    except OSError:
        return False


@contextmanager
def _writing(folder: Path, path: Path) -> Iterator[None]:
    """Raise UsageError for what the disk refuses, and where a link inside `folder` would lead
    out of it."""
    try:
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{path.parent} leads out of {folder}", hint="remove that link")
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="choose another folder"
        ) from error
