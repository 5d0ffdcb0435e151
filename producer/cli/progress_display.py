"""A batch's progress while it renders: a bar on a terminal, lines in a log, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from common.dispatch import WorkerReport
from common.text import escaped
from producer.batches import Status, StatusWatcher
from producer.cli.output import Output
from producer.cli.status_text import SUBMIT_AGAIN, status_json, status_text
from producer.listeners import paused_line
from producer.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The exit code of what ended with failed cells.
FAILED_CELLS = 4

#: A log gets a line so often when only counts change, and so often when the words do.
LINE_EVERY_S = 10.0
NEWS_EVERY_S = 1.0
RATE_OVER_S = 60.0
BAR_WIDTH = 32
#: Characters at the end of a text that are not cut: `3.2 of 6.9 GB`.
TELLING_END = 18
#: What a worker does before it renders, the one that takes longest first.
PHASES = ("downloading", "loading", "starting")
ENDS = ("leaving", "paused")


def watch_to_its_end(watcher: StatusWatcher, out: Output) -> int:
    """Show a batch's progress until it is over; the exit code."""
    try:
        last = show_progress(watcher.follow(), out)
    except KeyboardInterrupt:
        batch_id = watcher.batch_id
        out.say(f"no longer watching; the farm goes on. gridfarm watch {batch_id} comes back")
        return 0
    if not out.as_json:
        out.result({}, status_text(last))
    return FAILED_CELLS if last.failed else 0


def show_progress(statuses: Iterable[Status], out: Output, *, nobody: str = "") -> Status:
    """Draw each status; returns the last one. `nobody` is said while no worker is alive, instead of
    what to do about it."""
    out.end_progress()
    if out.as_json:
        return _print_json(statuses)
    return (_draw_bar if sys.stderr.isatty() else _print_lines)(statuses, nobody, out)


class Rate:
    """Pictures per minute over the last minute, and the time that the rest needs at that rate."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def add(self, done: int, *, now: float) -> None:
        self._counts.append((now, done))
        while now - self._counts[0][0] > RATE_OVER_S and len(self._counts) > 2:
            self._counts.popleft()

    @property
    def per_minute(self) -> float:
        if len(self._counts) < 2:
            return 0.0
        (began, first), (now, last) = self._counts[0], self._counts[-1]
        return 60 * (last - first) / (now - began) if now > began else 0.0

    def left(self, remaining: int) -> str:
        """`1:02:03`; only when there is a rate."""
        seconds = round(60 * remaining / self.per_minute)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def describe(status: Status, nobody: str = "") -> str:
    """What is going on, in a few words: what holds everybody up, else how many are at work."""
    workers = status.listening
    if status.state == "paused":
        finishing = f", {counted(status.running, 'picture')} still running" * bool(status.running)
        return f"the batch is paused{finishing}; gridfarm resume {status.batch}"
    if status.state == "submitting":
        return SUBMIT_AGAIN
    if not workers:
        return status.waits_for if status.others or not nobody else nobody
    if status.aside:
        return f"set aside, as it cannot be read: {status.aside}"
    states = Counter(worker.state for worker in workers)
    if states["paused"] == len(workers):
        return paused_line(workers[0])
    if states["rendering"] + states["listening"] == 0:
        return _held_up(status)
    parts = [f"{states[state]} {state}" for state in (*PHASES, *ENDS) if states[state]]
    return ", ".join([counted(len(workers), "worker"), *parts])


def _held_up(status: Status) -> str:
    """Nobody renders yet: the phase of the worker that it takes longest."""
    phases = [phase_of(worker) for worker in status.listening if worker.state != "paused"]
    rank = {phase: [not phase.startswith(word) for word in PHASES] for phase in phases}
    longest = min(phases, key=rank.__getitem__)
    return f"{counted(len(status.listening), 'worker')} · {longest}"


def phase_of(worker: WorkerReport) -> str:
    """`downloading sdxl, 3.2 of 6.9 GB`: the state in front, unless the message begins with it."""
    message = worker.message
    if worker.state == "leaving":
        return f"leaving: {message}"
    return message if message.startswith(PHASES) else f"{worker.state} {message}".rstrip()


def _print_json(statuses: Iterable[Status]) -> Status:
    before: dict[str, Any] = {}
    for status in statuses:
        now = status_json(status)
        if now != before:
            click.echo(escaped(json.dumps(now, ensure_ascii=False)))
        before = now
    return status


def _print_lines(statuses: Iterable[Status], nobody: str, out: Output) -> Status:
    """One line when the words change and every ten seconds when only the counts do."""
    rate, words, printed_at = Rate(), "", -LINE_EVERY_S
    for status in statuses:
        now = time.monotonic()
        rate.add(status.done, now=now)
        _say_who_is_paused(status, out, but=describe(status, nobody))
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
    return escaped(f"{counts}{failed}, {', '.join([*_rate_and_rest(status, rate), words])}")


def _rate_and_rest(status: Status, rate: Rate) -> list[str]:
    """`12/min` and the time left; nothing before there is a rate."""
    if not rate.per_minute:
        return []
    return [f"{rate.per_minute:.0f}/min", f"{rate.left(_remaining(status))} left"]


def _remaining(status: Status) -> int:
    return status.jobs - status.done - status.failed


def _say_who_is_paused(status: Status, out: Output, *, but: str = "") -> None:
    """Each in a line of its own, once: a bar has no room for the reason, and where others work its
    words do not have it. `but` is said already."""
    for worker in status.listening if not status.over else ():
        line = paused_line(worker)
        if worker.state == "paused" and line != but:
            out.say(line)


def _draw_bar(statuses: Iterable[Status], nobody: str, out: Output) -> Status:
    from rich.console import Console
    from rich.live import Live

    rate = Rate()
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False) as live, out.drawing_on(console):
        for status in statuses:
            _say_who_is_paused(status, out)
            rate.add(status.done, now=time.monotonic())
            live.update(bar_of(status, rate, nobody, console.width), refresh=True)
    return status


def bar_of(status: Status, rate: Rate, nobody: str, width: int) -> RenderableType:
    """Two lines of at most `width`: the bar shrinks, the words beneath lose their middle."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    settled = status.done + status.failed
    percent = 100 * settled // status.jobs if status.jobs else 100
    counts = [f"{settled:,}/{status.jobs:,}", f"{percent:>3}%", *_rate_and_rest(status, rate)]
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(max_width=BAR_WIDTH)
    for _ in counts[1:]:
        line.add_column(no_wrap=True)
    bar = ProgressBar(max(1, status.jobs), settled)
    line.add_row(counts[0], bar, *counts[1:])
    return Group(line, Text(fitted(_words(status, nobody), width), style="dim", no_wrap=True))


def fitted(text: str, width: int) -> str:
    """Cut in the middle: a download's name may go, `3.2 of 6.9 GB` at its end may not."""
    if len(text) <= width:
        return text
    end = min(TELLING_END, width // 2)
    return f"{text[: width - end - 1]}…{text[-end:] if end else ''}"


def _words(status: Status, nobody: str) -> str:
    failed = f"{status.failed} failed" if status.failed else ""
    doing = status.state if status.over else describe(status, nobody)
    return escaped(" · ".join(filter(None, [failed, doing])))
