"""How a batch stands, in the words and in the JSON that people and scripts read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.dispatch import WorkerReport, queue_name
from producer.batches import Status
from producer.cli.status_text import SHOWN_FAILURES, FailureNews, status_json, status_text

RENDERING = Status(
    batch="animals-bdf10f0b",
    state="rendering",
    jobs=1800,
    done=1200,
    failed=0,
    running=2,
    waiting=598,
    workers=1,
    queue=queue_name(),
    listening=(WorkerReport("w1", "m1", (queue_name(),), 1, "cpu", "rendering"),),
)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ["rendering", "1,200 of 1,800 pictures stored, 2 running, 598 waiting, 1 worker"]),
        (
            {"workers": 0, "listening": (), "running": 0, "waiting": 600, "priority": "high"},
            [
                "rendering, high priority",
                "1,200 of 1,800 pictures stored, 0 running, 600 waiting",
                "no worker is listening: start one with gridfarm-worker",
            ],
        ),
        (
            {"state": "cancelled"},
            [
                "cancelled",
                "1,200 of 1,800 pictures stored, 2 running, to be stopped, 598 not rendered",
                "it goes on with: gridfarm resume animals-bdf10f0b",
            ],
        ),
        (
            {"state": "done", "jobs": 1, "done": 1, "running": 0, "waiting": 0, "priority": "low"},
            ["done", "1 of 1 picture stored"],
        ),
    ],
)
def test_the_text(changes: dict[str, Any], lines: list[str]) -> None:
    state, *rest = lines
    expected = [f"animals-bdf10f0b: {state}", *(f"  {line}" for line in rest)]
    assert status_text(replace(RENDERING, **changes)).splitlines() == expected


def test_where_nobody_was_asked_who_listens_nothing_is_said_of_it() -> None:
    text = status_text(replace(RENDERING, workers=0, listening=(), queue=""))
    assert text.splitlines()[1:] == ["  1,200 of 1,800 pictures stored, 2 running, 598 waiting"]


def test_a_paused_worker_says_why() -> None:
    worker = WorkerReport("w1", "m1", ("gridfarm",), 1, "cpu", "paused", "no space left")
    text = status_text(replace(RENDERING, listening=(worker, replace(worker, state="rendering"))))
    assert text.count("  paused: w1: no space left") == 1


def test_pictures_that_take_long_say_their_step() -> None:
    """Each of a few workers, in an order that stays; of many nobody reads it."""
    worker = WorkerReport("w1", "m1", ("gridfarm",), 1, "cpu", "rendering", step=12, steps=50)
    others = [replace(worker, name="w3", steps=0), replace(worker, name="w0", step=3, steps=30)]
    for workers, line in (
        ([worker], "1 worker · step 12 of 50"),
        ([worker, *others], "3 workers · steps 3 of 30, 12 of 50"),
        ([worker] * 200, "200 workers"),
    ):
        status = replace(RENDERING, workers=len(workers), listening=tuple(workers))
        assert status_text(status).splitlines()[1].endswith(f", {line}")


def test_a_batch_that_is_set_aside_says_why_and_what_happens() -> None:
    text = status_text(replace(RENDERING, aside="403 AccessDenied: batch.json"))
    assert "set aside, as it cannot be read: 403 AccessDenied: batch.json" in text
    assert "try again by themselves" in text


def failures(count: int) -> Status:
    labels = {"prompt": "wolf " * 20, "seed": "3"}
    entries: list[dict[str, object]] = [
        {"i": i, "labels": labels, "reason": f"black{i}"} for i in range(count)
    ]
    return replace(RENDERING, failed=count, failures=entries)


def test_failures_name_the_cell_shortly_and_the_reason() -> None:
    lines = status_text(failures(1)).splitlines()
    assert "1 failed" in lines[1]
    assert lines[2:] == ["", f"  failed #0 {'wolf ' * 7}… · 3", "    black0"]


def test_cells_that_failed_for_one_reason_are_one_entry() -> None:
    """With the first of them; the JSON has each."""
    status = failures(19)
    for entry in status.failures[1:]:
        entry["reason"] = "the model x cannot be loaded"
    lines = status_text(status).splitlines()
    first = f"{'wolf ' * 7}… · 3"
    assert lines[2:] == [
        "",
        f"  failed #0 {first}",
        "    black0",
        "",
        f"  failed 18 cells, such as #1 {first}, #2 {first}, #3 {first}",
        "    the model x cannot be loaded",
    ]
    assert len(status_json(status)["failures"]) == 19


def test_a_reason_is_news_once() -> None:
    news, status = FailureNews(), failures(2)
    place = f"{'wolf ' * 7}… · 3"
    assert [*news.of(replace(status, failures=status.failures[:1]))] == [
        f"failed #0 {place}: black0"
    ]
    again = {"i": 7, "labels": {}, "reason": "black0"}
    assert [*news.of(replace(status, failures=[*status.failures, again]))] == [
        f"failed #1 {place}: black1"
    ]
    assert [*news.of(status)] == []
    assert len([*news.of(failures(100))]) == SHOWN_FAILURES - 2


def test_many_failures_are_cut_in_the_text_alone() -> None:
    status = failures(SHOWN_FAILURES + 1)
    text = status_text(status)
    assert text.count("failed #") == SHOWN_FAILURES
    assert text.endswith("… 1 more failed; --json has them")
    assert len(status_json(status)["failures"]) == SHOWN_FAILURES + 1


@pytest.mark.parametrize(("count", "whom"), [(1, "it"), (SHOWN_FAILURES + 1, "them")])
def test_what_renders_failed_cells_again_is_said_when_the_batch_is_over(
    count: int, whom: str
) -> None:
    status = replace(failures(count), state="done")
    line = f"\n\n  gridfarm retry {status.batch} renders {whom} again"
    assert status_text(status).endswith(line)
    here = status_text(status, on_a_farm=False)
    assert here.endswith(f"\n\n  the same gridfarm render FILE renders {whom} again")
    assert "retry" not in status_text(failures(count))
    assert "retry" not in status_text(replace(RENDERING, state="done"))


def test_a_submit_that_was_cut_off_says_what_to_do() -> None:
    text = status_text(replace(RENDERING, state="submitting", running=0))
    assert "submitting" in text
    assert text.endswith("give it again")


def test_the_json() -> None:
    assert status_json(RENDERING) == {
        "batch": "animals-bdf10f0b",
        "state": "rendering",
        "priority": "normal",
        "jobs": 1800,
        "done": 1200,
        "failed": 0,
        "running": 2,
        "waiting": 598,
        "workers": 1,
        "waits_for": "",
        "aside": "",
        "failures": [],
    }
