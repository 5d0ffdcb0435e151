"""What a person or a script sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from common.errors import BatchFileError, GridfarmError
from common.text import escaped

if TYPE_CHECKING:
    from producer.submission import Progress


@dataclass
class Output:
    """`--json` prints the result alone on stdout; messages and progress go to stderr."""

    as_json: bool = False
    _said: set[str] = field(default_factory=set)

    def result(self, data: dict[str, Any], text: str) -> None:
        if self.as_json:
            click.echo(escaped(json.dumps(data, ensure_ascii=False)))
        else:  # what goes into a file stays as it is
            click.echo(escaped(text) if sys.stdout.isatty() else text)

    def say(self, text: str) -> None:
        """A message for the person; the same one only once."""
        if text not in self._said:
            self._said.add(text)
            click.echo(escaped(text), err=True)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar for each thing that takes more than a moment, on a terminal only."""
        if not sys.stderr.isatty():
            yield lambda *_: None
            return
        with _rich_progress("{task.completed:.0f}/{task.total:.0f}") as bars:
            tasks: dict[str, Any] = {}

            def show(what: str, done: int, of: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=of)
                bars.update(tasks[what], completed=done)

            yield show


@contextmanager
def _rich_progress(counts: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn(counts))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield bars


def print_error(error: GridfarmError, *, as_json: bool) -> None:
    """One message with its hint on stderr; with --json also one object on stdout."""
    if as_json:
        click.echo(escaped(json.dumps(error_json(error), ensure_ascii=False)))
    click.echo(f"{click.style('Error:', fg='red')} {escaped(error.message)}", err=True)
    if error.hint:
        click.echo(f"  {escaped(error.hint)}", err=True)


def error_json(error: GridfarmError) -> dict[str, Any]:
    data: dict[str, Any] = {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }
    if isinstance(error, BatchFileError):
        data["problems"] = [problem.__dict__ for problem in error.problems]
    return data


def counted(count: int, one: str, many: str = "") -> str:
    """`1 cell`, `15 cells`, `1,248 cells`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_bytes(size: float) -> str:
    """`620 kB`, `24 MB`, `1.6 TB`: powers of 1,000, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
