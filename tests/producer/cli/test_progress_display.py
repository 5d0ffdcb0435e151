"""What a person sees while a batch renders: words for each phase, on a terminal of any width."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from common.dispatch import WorkerReport, queue_name
from producer.batches import Pace, Status
from producer.cli import progress_display
from producer.cli.output import Output
from producer.cli.progress_display import (
    LogTimer,
    bar_of,
    describe,
    fitted,
    show_progress,
)

NOBODY = "no worker is listening: start one with gridfarm-worker"
DOWNLOADED = "stabilityai/stable-diffusion-xl-base-1.0, 3.2 of 6.9 GB"


def worker(state: str, message: str = "", *, step: int = 0, name: str = "w") -> WorkerReport:
    steps = 50 if step else 0
    return WorkerReport(name, "m", ("q",), 3, "cpu", state, message, step=step, steps=steps)


def seen(*workers: WorkerReport, **fields: Any) -> Status:
    counts = {"state": "rendering", "jobs": 1500, "done": 700, "failed": 2, "running": 1}
    rest = {"batch": "b", "waiting": 797, "workers": len(workers), "listening": workers}
    return Status(**{"queue": queue_name()} | rest | counts | fields)


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([], NOBODY),
        ([worker("starting")], "1 worker · starting"),
        ([worker("loading", "sdxl onto H200"), worker("downloading", DOWNLOADED)],
         f"2 workers · downloading {DOWNLOADED}"),
        ([worker("loading", f"downloading {DOWNLOADED}")], f"1 worker · downloading {DOWNLOADED}"),
        ([worker("retrying", "what failed: no hub"), worker("loading", "sdxl")],
         "2 workers · retrying what failed: no hub"),
        ([worker("paused", "503"), worker("loading", "sdxl"), worker("starting")],
         "3 workers · loading sdxl"),
        ([worker("rendering"), worker("loading", "sdxl"), worker("downloading", "sdxl")],
         "3 workers, 1 downloading, 1 loading"),
        ([worker("rendering"), worker("paused", "503")], "2 workers, 1 paused"),
        ([worker("paused", "503 Slow Down")] * 2, "paused: w: 503 Slow Down"),
        ([worker("rendering"), worker("leaving", "SIGTERM")], "2 workers, 1 leaving"),
        ([worker("leaving", "AWS will terminate this machine")],
         "1 worker · leaving: AWS will terminate this machine"),
        ([worker("listening")], "1 worker"),
        ([worker("rendering", step=12)], "1 worker · step 12 of 50"),
        ([worker("rendering", step=9, name="b"), worker("rendering", step=8, name="a"),
          worker("loading", "sdxl")], "3 workers, 1 loading · steps 8, 9 of 50"),
        ([worker("rendering", step=12)] * 5, "5 workers"),
    ],
    ids=["nobody", "starting", "downloading", "said twice", "retrying", "loading", "some load",
         "some paused", "paused", "some leave", "leaving", "listening", "a step", "steps",
         "steps of many"],
)  # fmt: skip
def test_what_is_going_on(workers: list[WorkerReport], words: str) -> None:
    assert describe(seen(*workers)) == words


def test_before_a_renders_own_workers_are_there_it_starts_them() -> None:
    """Afterwards, why they take nothing of it."""
    starting, cuda = "starting workers", {"queue": queue_name("cuda")}
    on_the_cpu = WorkerReport("w", "m", (queue_name(),), 3, "cpu", "listening")
    assert describe(seen(**cuda), starting) == starting
    words = describe(seen(**cuda, others=(on_the_cpu,)), starting)
    assert words == "waits for a worker on CUDA (noise: cuda); 1 listens on the CPU"


@pytest.mark.parametrize("workers", [[], [worker("listening")]])
def test_a_batch_that_is_being_submitted_waits_for_no_worker(workers: list[WorkerReport]) -> None:
    words = describe(seen(*workers, state="submitting"))
    assert words == "its submit is under way, or was cut off: then give it again"


def test_a_batch_that_is_set_aside_says_so() -> None:
    status = seen(worker("listening"), aside="403 AccessDenied")
    assert describe(status) == "set aside, as it cannot be read: 403 AccessDenied"


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
    screen.print(bar_of(status, paced(status), "", width))
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
    screen.print(bar_of(seen(done=0, failed=0), Pace(), "", 100))
    assert "/min" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_text_that_fits_is_whole() -> None:
    assert fitted("3.2 of 6.9 GB", 13) == "3.2 of 6.9 GB"
    assert fitted("abcdefgh", 5) == "ab…gh"


def test_a_log_says_that_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    show_progress([seen(done=0, failed=0)], Output())
    assert capsys.readouterr().err == f"0/1500, {NOBODY}\n"


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_a_reason_is_said_when_the_first_cell_fails(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the others still render, and once."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    failed: list[dict[str, object]] = [
        {"i": i, "labels": {"seed": str(i)}, "reason": "the model x cannot be loaded"}
        for i in range(18)
    ]
    begun = seen(worker("rendering"), failed=1, failures=failed[:1])
    over = seen(worker("rendering"), failed=18, failures=failed, state="done")
    show_progress([begun, over], Output())
    assert capsys.readouterr().err.count("failed #0 0: the model x cannot be loaded\n") == 1


def test_what_is_over_has_no_time_left() -> None:
    """Nor is there one while the batch is paused, or nobody listens."""
    rendering = seen(worker("rendering"))
    paused, alone = replace(rendering, state="paused"), replace(rendering, listening=())
    for status in (replace(rendering, state="done"), paused, alone):
        screen, pace = Console(width=100, file=io.StringIO()), paced(rendering)
        pace.look(status, now=600.2)
        screen.print(bar_of(status, pace, "", 100))
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


def test_who_is_paused_and_why_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Where others work, the words have no room for it; where nobody does, they are it."""
    some = seen(worker("rendering"), worker("paused", "503"))
    show_progress([some, some], Output())
    assert capsys.readouterr().err.splitlines()[0] == "paused: w: 503"
    show_progress([seen(worker("paused", "503"))] * 2, Output())
    assert capsys.readouterr().err.count("paused: w: 503") == 1


def test_what_is_said_meanwhile_stands_above_the_bar() -> None:
    """Whole, and the bar is still whole, too."""
    out, screen = Output(), Console(width=60, file=io.StringIO(), force_terminal=True)
    with Live(console=screen, auto_refresh=False) as live, out.drawing_on(screen):
        live.update(bar_of(seen(), Pace(), "", 60), refresh=True)
        out.say(f"the broker is away {'and away ' * 9}")
        live.update(bar_of(seen(), Pace(), "", 60), refresh=True)
    text = Text.from_ansi(screen.file.getvalue()).plain  # type: ignore[attr-defined]
    assert f"the broker is away {'and away ' * 9}" in text
    assert text.rstrip().endswith("gridfarm-worker")
