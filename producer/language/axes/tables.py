"""Files that a batch file names beside itself: texts, tables, and files found by a pattern."""

from __future__ import annotations

import csv
import glob
import io
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

from producer.language.mistakes import Mistake
from producer.language.yaml import unprintable

MAX_BYTES = 10_000_000
#: Values that one axis can list. Ranges have no such limit.
MAX_VALUES = 100_000

#: Files that one pattern can match.
MAX_FILES = 10_000
#: Seconds that looking for them may take.
LOOK_S = 10.0

_SEPARATORS = ("\t", ";", ",")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line; empty ones and those that begin with # are left out."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of each row of a table with a heading; empty cells are left out.

    Separated by commas, semicolons or tabs, whichever the heading has. Raises Mistake.
    """
    text = _text(path)
    heading = next(iter(text.splitlines()), "")
    separator = next((s for s in _SEPARATORS if s in heading), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns, path)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if len(cells) > len(columns):
                raise Mistake(
                    "too-many-cells-in-a-row",
                    file=path.name,
                    line=reader.line_num,
                    cells=len(cells),
                    columns=len(columns),
                )
            named = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
            if named:
                yield reader.line_num, named
    except csv.Error as error:
        raise Mistake("table", file=path.name, line=reader.line_num, says=str(error)) from None


def _check_columns(columns: list[str], path: Path) -> None:
    if not any(columns):
        raise Mistake("no-heading", file=path.name)
    for name in columns:
        if not name:
            raise Mistake("column-without-a-name", file=path.name)
        if columns.count(name) > 1:
            raise Mistake("column-twice", file=path.name, name=name)


def matching(base_dir: Path, pattern: str) -> list[str]:
    """The files and folders that match a glob, as paths relative to `base_dir` where they are
    in it, in their natural order (`e2` before `e10`). Raises Mistake."""
    try:
        absolute = Path(pattern).expanduser()
        root = None if absolute.is_absolute() else base_dir
        names = _in_time(lambda: _matches(str(absolute), root), pattern)
    except (OSError, ValueError, RuntimeError, re.error) as error:
        raise Mistake("pattern", pattern=pattern, says=str(error)) from None
    if not names:
        raise Mistake("no-file-matches", pattern=pattern, folder=base_dir)
    if len(names) > MAX_FILES:
        raise Mistake("too-many-files", pattern=pattern, most=MAX_FILES)
    return sorted(names, key=_natural)


def _matches(pattern: str, root: Path | None) -> list[str]:
    # Path.glob takes no absolute pattern.
    matches = glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    return list(islice(matches, MAX_FILES + 1))


def _in_time(look: Callable[[], list[str]], pattern: str) -> list[str]:
    """A pattern may ask for a walk through all disks of a machine, which nothing in Python
    ends; the thread is left behind. Raises Mistake, and what `look` raises."""
    answer: Future[list[str]] = Future()

    def run() -> None:
        try:
            answer.set_result(look())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(LOOK_S)
    except TimeoutError:
        raise Mistake("takes-too-long", pattern=pattern, seconds=LOOK_S) from None


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _text(path: Path) -> str:
    """Raises Mistake."""
    data = _contents(path)
    if len(data) > MAX_BYTES:
        raise Mistake("table-too-large", file=path.name, most=MAX_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Mistake("table-not-utf-8", file=path.name, line=line) from None
    if place := unprintable(text):
        line, character = place
        raise Mistake("table-not-text", file=path.name, line=line, character=character)
    return text


def _contents(path: Path) -> bytes:
    """Up to MAX_BYTES and one more. Raises Mistake."""
    try:
        if not path.is_file():
            raise Mistake("not-a-file" if path.exists() else "no-such-file", file=str(path))
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Mistake("unreadable-file", file=str(path), says=reason) from None
