"""What a person sees while a batch renders: words for each phase, on a terminal of any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from common.dispatch import WorkerReport, queue_name
from producer.batches import Status
from producer.cli.output import Output
from producer.cli.progress_display import Rate, bar_of, describe, fitted, show_progress

NOBODY = "no worker is listening: start one with gridfarm-worker"
DOWNLOADED = "stabilityai/stable-diffusion-xl-base-1.0, 3.2 of 6.9 GB"


def worker(state: str, message: str = "") -> WorkerReport:
    return WorkerReport("w", "m", ("q",), 3, "cpu", state, message)


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
    ],
    ids=["nobody", "starting", "downloading", "said twice", "loading", "some load", "some paused",
         "paused", "some leave", "leaving", "listening"],
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


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
@pytest.mark.parametrize("status", [
    seen(worker("downloading", DOWNLOADED)), seen(), seen(worker("rendering"), state="done"),
], ids=["downloading", "nobody", "done"])  # fmt: skip
def test_two_lines_on_any_terminal(status: Status, width: int) -> None:
    """Nothing wraps, and how much of a download is done stays to be seen."""
    rate, screen = Rate(), Console(width=width, file=io.StringIO())
    rate.add(0, now=0)
    rate.add(60, now=30)
    screen.print(bar_of(status, rate, "", width))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert all(len(line.rstrip()) <= width for line in lines)
    assert width < 40 or lines[0].startswith("702/1,500")
    if status.listening and status.state != "done" and width >= 40:
        assert lines[1].rstrip().endswith("3.2 of 6.9 GB")


def test_before_there_is_a_rate_none_is_shown() -> None:
    screen = Console(width=100, file=io.StringIO())
    screen.print(bar_of(seen(done=0, failed=0), Rate(), "", 100))
    assert "/min" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_text_that_fits_is_whole() -> None:
    assert fitted("3.2 of 6.9 GB", 13) == "3.2 of 6.9 GB"
    assert fitted("abcdefgh", 5) == "ab…gh"


def test_a_log_says_that_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    show_progress([seen(done=0, failed=0)], Output())
    assert capsys.readouterr().err == f"0/1500, {NOBODY}\n"


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
        live.update(bar_of(seen(), Rate(), "", 60), refresh=True)
        out.say(f"the broker is away {'and away ' * 9}")
        live.update(bar_of(seen(), Rate(), "", 60), refresh=True)
    text = Text.from_ansi(screen.file.getvalue()).plain  # type: ignore[attr-defined]
    assert f"the broker is away {'and away ' * 9}" in text
    assert text.rstrip().endswith("gridfarm-worker")
