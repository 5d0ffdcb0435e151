"""What a person sees while a batch renders: words for each phase, on a terminal of any width."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console

from common.dispatch import WorkerReport
from producer.batches import Pace, Status
from producer.cli import progress_display
from producer.cli.output import Output
from producer.cli.progress_display import (
    NOBODY,
    LogTimer,
    bar_of,
    describe,
    fitted,
    show_progress,
)

DOWNLOADED = "stabilityai/stable-diffusion-xl-base-1.0, 3.2 of 6.9 GB"


def worker(state: str, message: str = "", *, step: int = 0, name: str = "w") -> WorkerReport:
    steps = 50 if step else 0
    return WorkerReport(name, "m", ("q",), 3, "cpu", state, message, step=step, steps=steps)


def seen(*workers: WorkerReport, **fields: Any) -> Status:
    counts = {"state": "rendering", "jobs": 1500, "done": 700, "failed": 2, "running": 1}
    rest = {"batch": "b", "waiting": 797, "workers": len(workers), "listening": workers}
    return Status(**rest | counts | fields)


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([], NOBODY),
        ([worker("starting")], "1 worker · starting"),
        ([worker("loading", "sdxl onto H200"), worker("downloading", DOWNLOADED)],
         f"2 workers · downloading {DOWNLOADED}"),
        ([worker("loading", f"downloading {DOWNLOADED}")], f"1 worker · downloading {DOWNLOADED}"),
        ([worker("paused", "503"), worker("loading", "sdxl"), worker("starting")],
         "3 workers · loading sdxl"),
        ([worker("rendering"), worker("loading", "sdxl"), worker("downloading", "sdxl")],
         "3 workers, 1 downloading, 1 loading"),
        ([worker("rendering"), worker("paused", "503")], "2 workers, 1 paused"),
        ([worker("paused", "503 Slow Down")] * 2, "paused: 503 Slow Down"),
        ([worker("rendering"), worker("leaving", "SIGTERM")], "2 workers, 1 leaving"),
        ([worker("leaving", "AWS will terminate this machine")],
         "1 worker · leaving: AWS will terminate this machine"),
        ([worker("listening")], "1 worker"),
        ([worker("rendering", step=12)], "1 worker · step 12 of 50"),
        ([worker("rendering", step=9, name="b"), worker("rendering", step=8, name="a"),
          worker("loading", "sdxl")], "3 workers, 1 loading · steps 8, 9 of 50"),
        ([worker("rendering", step=12)] * 5, "5 workers"),
    ],
    ids=["nobody", "starting", "downloading", "said twice", "loading", "some load", "some paused",
         "paused", "some leave", "leaving", "listening", "a step", "steps", "steps of many"],
)  # fmt: skip
def test_what_is_going_on(workers: list[WorkerReport], words: str) -> None:
    assert describe(seen(*workers), NOBODY) == words


@pytest.mark.parametrize("workers", [[], [worker("listening")]])
def test_a_batch_that_is_being_submitted_waits_for_no_worker(workers: list[WorkerReport]) -> None:
    words = describe(seen(*workers, state="submitting"), NOBODY)
    assert words == "its submit is under way, or was cut off: then give it again"


def test_a_batch_that_is_set_aside_says_so() -> None:
    status = seen(worker("listening"), aside="403 AccessDenied")
    assert describe(status, NOBODY) == "set aside, as it cannot be read: 403 AccessDenied"


def paced(status: Status) -> Pace:
    """After ten minutes of a hundred pictures each, if that is so."""
    pace = Pace()
    for second in range(600):
        done = status.done - (600 - second) * 100 // 60
        pace.look(replace(status, done=done), now=second)
    pace.look(status, now=600)
    return pace


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
@pytest.mark.parametrize("status", [
    seen(worker("downloading", DOWNLOADED)), seen(), seen(worker("rendering"), state="done"),
    seen(worker("rendering")),
], ids=["downloading", "nobody", "done", "rendering"])  # fmt: skip
def test_two_lines_on_any_terminal(status: Status, width: int) -> None:
    """Nothing wraps, and how much of a download is done stays to be seen."""
    screen = Console(width=width, file=io.StringIO())
    screen.print(bar_of(status, paced(status), NOBODY, width))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert all(len(line.rstrip()) <= width for line in lines)
    assert width < 40 or lines[0].startswith("702/1,500")
    assert "…" not in lines[0] or width < 40
    if any(worker.state == "rendering" for worker in status.listening) and not status.over:
        assert lines[0].rstrip().endswith(" left") and ("━━━" in lines[0] or width < 40)
        assert ("100/min" in lines[0]) == (width >= 60)
    if status.listening and status.listening[0].message and width >= 40:
        assert lines[1].rstrip().endswith("3.2 of 6.9 GB")


def test_before_there_is_a_rate_none_is_shown() -> None:
    screen = Console(width=100, file=io.StringIO())
    screen.print(bar_of(seen(done=0, failed=0), Pace(), NOBODY, 100))
    assert "/min" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_text_that_fits_is_whole() -> None:
    assert fitted("3.2 of 6.9 GB", 13) == "3.2 of 6.9 GB"
    assert fitted("abcdefgh", 5) == "ab…gh"


def test_a_log_says_that_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    show_progress([seen(done=0, failed=0)], Output())
    assert capsys.readouterr().err == f"0/1500, {NOBODY}\n"


def test_what_is_over_has_no_time_left() -> None:
    """Nor is there one while the batch is paused, or nobody listens."""
    rendering = seen(worker("rendering"))
    paused, alone = replace(rendering, state="paused"), replace(rendering, listening=())
    for status in (replace(rendering, state="done"), paused, alone):
        screen, pace = Console(width=100, file=io.StringIO()), paced(rendering)
        pace.look(status, now=600.2)
        screen.print(bar_of(status, pace, NOBODY, 100))
        assert pace.left_s is None
        assert " left" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_of_ten_hours_is_short() -> None:
    """Given a farm of which something else is to be said each second; and one without news."""
    timer = LogTimer()
    lines = [second for second in range(36_000) if timer.due(f"{second % 7}", now=100 + second)]
    assert lines[0] == 0 and len(lines) < 1_000
    quiet = LogTimer()
    lines = [second for second in range(36_000) if quiet.due("", now=100 + second)]
    assert lines[1] == 10 and 100 < len(lines) < 200
    assert max(b - a for a, b in pairwise(lines)) <= 301


def test_a_log_hears_of_news_at_once() -> None:
    timer = LogTimer()
    due = [timer.due(gist, now=now) for gist, now in (("a", 0.0), ("a", 2), ("b", 3), ("b", 5))]
    assert due == [True, False, True, False]


def test_counts_of_workers_and_bytes_are_no_news(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given two seconds a look: the download goes on, and then some workers load and others
    render."""
    times = iter(range(0, 1_000, 2))
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: float(next(times)))
    downloads = [seen(worker("downloading", f"sdxl, {n}.0 of 6.9 GB")) for n in range(4)]
    rest = [worker("rendering"), worker("loading", "sdxl")]
    mixed = [seen(*rest), seen(rest[0]), seen(*rest * 3), seen(rest[0], rest[0])]
    show_progress([*downloads, *mixed], Output())
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ", 2)[2] for line in lines] == [
        "1 worker · downloading sdxl, 0.0 of 6.9 GB",
        "2 workers, 1 loading",
    ]


def test_a_terminal_that_cannot_redraw_gets_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    out = Output()
    out.progress("uploading", 1, 2)
    show_progress([seen(worker("rendering"))], out)
    assert capsys.readouterr().err == "700/1500, 2 failed, 1 worker\n"
