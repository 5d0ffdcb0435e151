"""A batch's progress while it renders: a bar on a terminal, lines in a log, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from producer.cli.output import Output

if TYPE_CHECKING:
    from producer.watch import Status

LINE_EVERY_S = 10.0
NEWS_EVERY_S = 1.0
RATE_OVER_S = 60.0


NOBODY = "no worker is listening: start one with gridfarm-worker"


def show_progress(statuses: Iterable[Status], out: Output, *, nobody: str = NOBODY) -> Status:
    """Draw each status; returns the last one. `nobody` is said while no worker listens."""
    if out.as_json:
        return _print_json(statuses)
    return (_draw_bar if sys.stderr.isatty() else _print_lines)(statuses, nobody)


class Rate:
    """Pictures per minute over the last minute, and the time that the rest needs at that rate."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int, *, now: float) -> None:
        self._seen.append((now, done))
        while now - self._seen[0][0] > RATE_OVER_S and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def per_minute(self) -> float:
        if len(self._seen) < 2:
            return 0.0
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return 60 * (last - first) / (now - began) if now > began else 0.0

    def left(self, remaining: int) -> str:
        if not self.per_minute:
            return "–:––"
        seconds = round(60 * remaining / self.per_minute)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def describe(status: Status, nobody: str) -> str:
    """What is going on, in a few words."""
    workers = status.listening
    if not workers:
        return nobody
    paused = [worker for worker in workers if worker.state == "paused"]
    if len(paused) == len(workers):
        return f"paused: {paused[0].message}"
    loading = [worker.message for worker in workers if worker.state == "loading"]
    if loading and not any(worker.state == "rendering" for worker in workers):
        return f"loading {loading[0]}"
    many = "1 worker" if len(workers) == 1 else f"{len(workers)} workers"
    return f"{many}, {len(paused)} paused" if paused else many


def _print_json(statuses: Iterable[Status]) -> Status:
    from producer.cli.batches import status_json

    before: dict[str, Any] = {}
    for status in statuses:
        now = status_json(status)
        if now != before:
            click.echo(json.dumps(now, ensure_ascii=False))
        before = now
    return status


def _print_lines(statuses: Iterable[Status], nobody: str) -> Status:
    """One line when the words change and every ten seconds when only the counts do."""
    rate, words, printed_at = Rate(), "", -LINE_EVERY_S
    for status in statuses:
        now = time.monotonic()
        rate.add(status.done, now=now)
        news = describe(status, nobody) != words and now - printed_at > NEWS_EVERY_S
        if news or now - printed_at > LINE_EVERY_S or status.over:
            words, printed_at = describe(status, nobody), now
            click.echo(_line(status, rate, words), err=True)
    return status


def _line(status: Status, rate: Rate, words: str) -> str:
    counts = f"{status.done}/{status.jobs}"
    failed = f", {status.failed} failed" if status.failed else ""
    if status.over:
        return f"{counts}{failed}, {status.state}"
    left = rate.left(_remaining(status))
    return f"{counts}{failed}, {rate.per_minute:.0f}/min, {left} left, {words}"


def _remaining(status: Status) -> int:
    return status.jobs - status.done - status.failed


def _draw_bar(statuses: Iterable[Status], nobody: str) -> Status:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=32),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]:.0f}/min"),
        TextColumn("{task.fields[left]} left"),
        TextColumn("{task.fields[words]}", style="dim"),
    )
    rate = Rate()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1, rate=0.0, left="–:––", words="")
        for status in statuses:
            rate.add(status.done, now=time.monotonic())
            bar.update(
                task,
                total=status.jobs,
                completed=status.done + status.failed,
                rate=rate.per_minute,
                left=rate.left(_remaining(status)),
                words=_words(status, nobody),
            )
    return status


def _words(status: Status, nobody: str) -> str:
    failed = f"{status.failed} failed · " if status.failed else ""
    return failed + ("" if status.over else describe(status, nobody))
