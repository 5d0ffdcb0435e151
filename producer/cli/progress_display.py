"""A batch's progress while it renders: a bar on a terminal, lines in a log, JSON for scripts."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from common.dispatch import WorkerReport
from common.text import escaped
from producer.batches import Pace, Status, StatusWatcher
from producer.cli.output import Output, can_redraw
from producer.cli.status_text import SUBMIT_AGAIN, FailureNews, status_json, status_text, steps_text
from producer.listeners import paused_line
from producer.wording import as_rate, counted, in_time

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The exit code of what ended with failed cells.
FAILED_CELLS = 4

#: A log gets a line so often at first, then each time when a tenth more has passed, and so often
#: after hours; five times as often where something else goes on than before.
LINE_EVERY_S, LATER_EVERY_S = 10.0, 300.0
NEWS_TIMES = 5
BAR_WIDTH, MIN_BAR_WIDTH = 32, 8
#: Characters at the end of a text that are not cut: `3.2 of 6.9 GB`.
TELLING_END = 18
#: What a worker does before it renders, the one that takes longest first.
PHASES = ("retrying", "downloading", "loading", "starting")
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
    return (_draw_bar if can_redraw() else _print_lines)(statuses, nobody, out)


class LogTimer:
    """When a log gets its next line, so that hours of rendering are a page or two of it."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._printed_at = 0.0
        self._gist = ""

    def due(self, gist: str, *, now: float) -> bool:
        """`gist` is what goes on, without what always changes; `now` is in seconds."""
        first, self._began = self._began is None, self._began or now
        every_s = min(max(LINE_EVERY_S, (now - self._began) / 10), LATER_EVERY_S)
        since_s = now - self._printed_at
        news = gist != self._gist and since_s >= every_s / NEWS_TIMES
        if not (first or news or since_s >= every_s):
            return False
        self._printed_at, self._gist = now, gist
        return True


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
    return ", ".join([counted(len(workers), "worker"), *parts]) + steps_text(workers)


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
    """Now and then one line."""
    pace, timer, failures = Pace(), LogTimer(), FailureNews()
    for status in statuses:
        for line in failures.of(status):
            click.echo(escaped(line), err=True)
        pace.look(status, now=time.time())
        words = describe(status, nobody)
        _say_who_is_paused(status, out, but=words)
        if timer.due(_gist(status, words), now=time.monotonic()) or status.over:
            click.echo(_line(status, pace, words), err=True)
    return status


def _gist(status: Status, words: str) -> str:
    """What goes on; nothing while somebody renders, as among many workers always some load."""
    if status.state == "rendering" and any(w.state == "rendering" for w in status.listening):
        return ""
    return re.sub(r"\d[\d.,]*", "", words)


def _line(status: Status, pace: Pace, words: str) -> str:
    counts = f"{status.done}/{status.jobs}"
    failed = f", {status.failed} failed" if status.failed else ""
    if status.over:
        return f"{counts}{failed}, {status.state}"
    return escaped(f"{counts}{failed}, {', '.join([*_rate_and_rest(pace), words])}")


def _rate_and_rest(pace: Pace) -> list[str]:
    """`12/min` and the time left, as far as they are known."""
    rate = [as_rate(pace.per_minute)] if pace.per_minute else []
    return [*rate, *([f"{in_time(pace.left_s)} left"] if pace.left_s else [])]


def _say_who_is_paused(status: Status, out: Output, *, but: str = "") -> None:
    """The first with each reason, once, in a line of its own: a bar has no room for the reason, and
    where others work its words do not have it. `but` is said already."""
    told: set[str] = set()
    for worker in status.listening if not status.over else ():
        line = paused_line(worker)
        if worker.state == "paused" and line != but and worker.message not in told:
            out.say(line)
            told.add(worker.message)


def _draw_bar(statuses: Iterable[Status], nobody: str, out: Output) -> Status:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    pace, failures = Pace(), FailureNews()
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False) as live, out.drawing_on(console):
        for status in statuses:
            _say_who_is_paused(status, out)
            for line in failures.of(status):
                console.print(Text(escaped(line)))
            pace.look(status, now=time.time())
            live.update(bar_of(status, pace, nobody, console.width), refresh=True)
    return status


def bar_of(status: Status, pace: Pace, nobody: str, width: int) -> RenderableType:
    """Two lines of at most `width`: the bar shrinks, the words beneath lose their middle."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = _counts(status, pace, width)
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(max_width=BAR_WIDTH)
    for _ in counts[1:]:
        line.add_column(no_wrap=True)
    bar = ProgressBar(max(1, status.jobs), status.done + status.failed)
    line.add_row(counts[0], bar, *counts[1:])
    return Group(line, Text(fitted(_words(status, nobody), width), style="dim", no_wrap=True))


def _counts(status: Status, pace: Pace, width: int) -> list[str]:
    """What stands around the bar; where it has no room the rate goes, then the percents."""
    settled = status.done + status.failed
    percent = 100 * settled // status.jobs if status.jobs else 100
    counts = [f"{settled:,}/{status.jobs:,}", f"{percent:>3}%", *_rate_and_rest(pace)]
    for least in (2, 1):
        if len(" ".join(counts)) + MIN_BAR_WIDTH >= width and len(counts) > least:
            del counts[least]
    return counts


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
