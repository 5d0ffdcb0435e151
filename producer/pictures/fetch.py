"""A batch's pictures as files with readable names (`producer.pictures.file_names`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from common.batch import ENUMERATE_UP_TO, Matrix
from common.errors import GridfarmError, ObjectMissing, TooLarge, UsageError
from common.picture import decode_meta
from common.store import GET_BYTES, OnBytes, Store, check_size, link, object_names
from producer.pictures.file_names import cell_paths
from producer.progress import ProgressCallback, show_no_progress

READ_THREADS = 8
#: So many pictures are handed to the threads at a time, so that no list of a million is made.
AT_ONCE = 512
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"

Done = Literal["written", "skipped", "missing", "damaged"]


@dataclass(frozen=True)
class FetchReport:
    """The files that were written, those that were there already, those whose picture is not in
    the store yet, and those for which the store has something else."""

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    missing: tuple[Path, ...]
    damaged: tuple[Path, ...] = ()


def fetch_pictures(
    matrix: Matrix,
    store: Store,
    folder: Path,
    *,
    progress: ProgressCallback = show_no_progress,
) -> FetchReport:
    """Fetch every stored picture of a batch into `folder`.

    A file that holds its cell's picture already is left alone, so a broken fetch resumes.
    Cells with equal pictures share one download. `progress` is called from this thread after
    each file. Raises StoreError, and UsageError for a folder that cannot be
    written.
    """
    files: dict[Done, list[Path]] = {"written": [], "skipped": [], "missing": [], "damaged": []}
    groups = _by_key(matrix, folder)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        while chunk := list(islice(groups, AT_ONCE)):
            for done in pool.map(lambda group: _fetch_equal(store, folder, *group), chunk):
                for path, what in done.items():
                    files[what].append(path)
                    progress("fetching pictures", sum(map(len, files.values())), matrix.cells)
    return FetchReport(**{what: tuple(paths) for what, paths in files.items()})


def _by_key(matrix: Matrix, folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Key and paths of each picture. A matrix too large to enumerate gives cell by cell."""
    paths = ((cell.key, folder / path) for cell, path in cell_paths(matrix, matrix))
    if len(matrix) > ENUMERATE_UP_TO:
        return ((key, [path]) for key, path in paths)
    return iter(_grouped(paths).items())


def _grouped(paths: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for key, path in paths:
        groups.setdefault(key, []).append(path)
    return groups


def _fetch_equal(store: Store, folder: Path, key: str, paths: list[Path]) -> dict[Path, Done]:
    """Bring one picture to all its paths: one download, then links."""
    done: dict[Path, Done] = {path: "skipped" for path in paths if _holds(path, key)}
    wanted = [path for path in paths if path not in done]
    if not done:
        source = wanted.pop(0)
        outcome = _download(store, key, folder, source)
        if outcome != "written":
            return dict.fromkeys(paths, outcome)
        done[source] = outcome
    source = next(iter(done))
    for path in wanted:
        with _writing(folder, path):
            link(source, path)
        done[path] = "written"
    return done


def _download(store: Store, key: str, folder: Path, path: Path) -> Done:
    with _writing(folder, path):
        try:
            store.get_file(object_names.picture(key), path, _up_to(GET_BYTES))
        except ObjectMissing:
            return "missing"
        except TooLarge:
            return "damaged"
        if not _holds(path, key):
            path.unlink()
            return "damaged"
    return "written"


def _up_to(most: int) -> OnBytes:
    """Raises TooLarge when more comes than any picture has."""
    total = 0

    def count(many: int) -> None:
        nonlocal total
        total += many
        check_size("a picture", total, most)

    return count


def _holds(path: Path, key: str) -> bool:
    """Whether `path` is that picture, whole: the key in its metadata and the PNG's last chunk."""
    try:
        png = path.read_bytes()
        return png.endswith(PNG_END) and decode_meta(png).job.key == key
    except (OSError, GridfarmError):
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
