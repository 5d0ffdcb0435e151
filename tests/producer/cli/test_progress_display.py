"""What a person sees while a batch renders: words for each phase, on a terminal of any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from common.dispatch import WorkerReport
from producer.batches import Status
from producer.cli.output import Output
from producer.cli.progress_display import NOBODY, Rate, bar_of, describe, fitted, show_progress

DOWNLOADED = "stabilityai/stable-diffusion-xl-base-1.0, 3.2 of 6.9 GB"


def worker(state: str, message: str = "") -> WorkerReport:
    return WorkerReport("w", "m", ("q",), 3, "cpu", state, message)


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
        ([worker("retrying", "what failed: no hub"), worker("loading", "sdxl")],
         "2 workers · retrying what failed: no hub"),
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
    ],
    ids=["nobody", "starting", "downloading", "said twice", "retrying", "loading", "some load",
         "some paused", "paused", "some leave", "leaving", "listening"],
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


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
@pytest.mark.parametrize("status", [
    seen(worker("downloading", DOWNLOADED)), seen(), seen(worker("rendering"), state="done"),
], ids=["downloading", "nobody", "done"])  # fmt: skip
def test_two_lines_on_any_terminal(status: Status, width: int) -> None:
    """Nothing wraps, and how much of a download is done stays to be seen."""
    rate, screen = Rate(), Console(width=width, file=io.StringIO())
    rate.add(0, now=0)
    rate.add(60, now=30)
    screen.print(bar_of(status, rate, NOBODY, width))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert all(len(line.rstrip()) <= width for line in lines)
    assert width < 40 or lines[0].startswith("702/1,500")
    if status.listening and status.state != "done" and width >= 40:
        assert lines[1].rstrip().endswith("3.2 of 6.9 GB")


def test_before_there_is_a_rate_none_is_shown() -> None:
    screen = Console(width=100, file=io.StringIO())
    screen.print(bar_of(seen(done=0, failed=0), Rate(), NOBODY, 100))
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
