"""How a batch stands, as JSON and as text."""

from __future__ import annotations

import textwrap
from typing import Any

from producer.batches import Status
from producer.cli.flaw_text import again_by, them
from producer.cli.output import Output
from producer.wording import counted

SHOWN_FAILURES = 20
#: Of a batch whose state is `submitting`.
SUBMIT_AGAIN = "its submit is under way, or was cut off: then give it again"


def show_status(status: Status, out: Output, *, on_a_farm: bool = True) -> None:
    out.result(status_json(status), status_text(status, on_a_farm=on_a_farm))


def status_json(status: Status) -> dict[str, Any]:
    return {
        "batch": status.batch,
        "state": status.state,
        "priority": status.priority,
        "jobs": status.jobs,
        "done": status.done,
        "failed": status.failed,
        "running": status.running,
        "waiting": status.waiting,
        "workers": status.workers,
        "aside": status.aside,
        "failures": status.failures,
    }


def status_text(status: Status, *, on_a_farm: bool = True) -> str:
    """`on_a_farm`: what goes on or is rendered again is ordered from a broker's workers."""
    parts = [f"{status.done:,} of {counted(status.jobs, 'picture')} stored"]
    parts += [f"{status.failed:,} failed"] if status.failed else []
    if status.state == "cancelled":
        parts += [f"{status.running:,} running, to be stopped"] if status.running else []
        parts += [f"{status.waiting:,} not rendered"] if status.waiting else []
    elif not status.over:
        parts += [f"{status.running:,} running", f"{status.waiting:,} waiting"]
        parts += [counted(status.workers, "worker") if status.workers else "no worker is listening"]
    urgency = "" if status.priority == "normal" or status.over else f", {status.priority} priority"
    lines = [f"{status.batch}: {status.state}{urgency}", f"  {', '.join(parts)}"]
    lines += [f"  paused: {w.name}: {w.message}" for w in status.listening if w.state == "paused"]
    if status.aside:
        lines += [f"  set aside, as it cannot be read: {status.aside}"]
        lines += ["  the workers try again by themselves, for now they render the others"]
    if status.state in ("paused", "cancelled"):
        broker = "" if on_a_farm else ", with its broker named (GRIDFARM_BROKER)"
        lines += [f"  it goes on with: gridfarm resume {status.batch}{broker}"]
    if status.state == "submitting":
        lines += [f"  {SUBMIT_AGAIN}"]
    again = again_by(status.batch, on_a_farm=on_a_farm)
    retry = ["", f"  {again} renders {them(status.failed)} again"]
    to_retry = status.over and status.failed
    return "\n".join([*lines, *_failure_lines(status), *(retry if to_retry else [])])


def _failure_lines(status: Status) -> list[str]:
    lines = []
    for failure in status.failures[:SHOWN_FAILURES]:
        labels: Any = failure["labels"]
        place = " · ".join(
            textwrap.shorten(label, 40, placeholder=" …") for label in labels.values()
        )
        lines += ["", f"  failed #{failure['i']} {place}"]
        lines += textwrap.wrap(
            str(failure["reason"]), 90, initial_indent="    ", subsequent_indent="    "
        )
    if status.failed > SHOWN_FAILURES:
        lines += ["", f"  … {status.failed - SHOWN_FAILURES:,} more failed; --json has them"]
    return lines
