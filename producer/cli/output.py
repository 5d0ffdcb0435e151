"""What a person or a script sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from common.errors import BatchFileError, GridfarmError
from common.text import escaped


@dataclass
class Output:
    """`--json` prints the result alone on stdout; messages and progress go to stderr."""

    as_json: bool = False
    _said: set[str] = field(default_factory=set)
    _bars: Any = None
    #: rich's console, while something is drawn on it that moves: what is said goes above that.
    _console: Any = None

    def result(self, data: dict[str, Any], text: str) -> None:
        self.end_progress()
        if self.as_json:
            click.echo(escaped(json.dumps(data, ensure_ascii=False)))
        else:  # what goes into a file stays as it is
            click.echo(escaped(text) if sys.stdout.isatty() else text)

    def say(self, text: str) -> None:
        """A message for the person; the same one only once."""
        if text not in self._said:
            self._said.add(text)
            self._write(escaped(text))

    def _write(self, text: str) -> None:
        if self._console:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text, err=True)

    @contextmanager
    def drawing_on(self, console: Any) -> Iterator[None]:
        """Say everything above what is drawn there, which else would be written over."""
        self._console = console
        try:
            yield
        finally:
            self._console = None

    def progress(self, what: str, done: int, of: int) -> None:
        """A bar for each thing that takes more than a moment, on a terminal only."""
        if can_redraw():
            self._bars = self._bars or _Bars()
            self._console = self._bars.console
            self._bars.show(what, done, of)

    def end_progress(self) -> None:
        """Take the bars away, before something else is drawn where they are."""
        if self._bars:
            self._bars.end()
            self._console = None
        self._bars = None


def can_redraw() -> bool:
    """Whether stderr is a terminal that can draw over what is there; elsewhere lines follow."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class _Bars:
    """What is going on, each thing with its bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = Console(stderr=True)
        counts = TextColumn("{task.completed:.0f}/{task.total:.0f}")
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), counts)
        self._rich = Progress(*columns, console=self.console, transient=True)
        self._tasks: dict[str, Any] = {}
        self._rich.start()

    def show(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._rich.add_task(what, total=of)
        self._rich.update(self._tasks[what], completed=done)

    def end(self) -> None:
        self._rich.stop()


def styled(text: str, **style: Any) -> str:
    """`click.style`, but for who wants no colours (https://no-color.org)."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def print_error(error: GridfarmError, *, as_json: bool) -> None:
    """One message with its hint on stderr; with --json also one object on stdout."""
    if as_json:
        click.echo(escaped(json.dumps(error_json(error), ensure_ascii=False)))
    click.echo(f"{styled('Error:', fg='red')} {escaped(error.message)}", err=True)
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
