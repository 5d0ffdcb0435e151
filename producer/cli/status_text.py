"""How a batch stands, as JSON and as text."""

from __future__ import annotations

import textwrap
from typing import Any

from producer.batches import Status
from producer.cli.flaw_text import them
from producer.cli.output import Output
from producer.wording import counted

SHOWN_FAILURES = 20
#: Of a batch whose state is `submitting`.
SUBMIT_AGAIN = "its submit is under way, or was cut off: then give it again"


def show_status(status: Status, out: Output) -> None:
    out.result(status_json(status), status_text(status))


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
        "waits_for": status.waits_for,
        "aside": status.aside,
        "failures": status.failures,
    }


def status_text(status: Status, *, on_a_farm: bool = True) -> str:
    """`on_a_farm`: with the command that renders what failed again."""
    parts = [f"{status.done:,} of {counted(status.jobs, 'picture')} stored"]
    parts += [f"{status.failed:,} failed"] if status.failed else []
    if status.state == "cancelled":
        parts += [f"{status.running:,} running, to be stopped"] if status.running else []
        parts += [f"{status.waiting:,} not rendered"] if status.waiting else []
    elif not status.over:
        parts += [f"{status.running:,} running", f"{status.waiting:,} waiting"]
        parts += [counted(status.workers, "worker")] if status.workers else []
    urgency = "" if status.priority == "normal" or status.over else f", {status.priority} priority"
    lines = [f"{status.batch}: {status.state}{urgency}", f"  {', '.join(parts)}"]
    if status.listeners and not status.over:
        lines += [f"  {line}" for line in status.listeners.hold_ups]
    if status.aside:
        lines += [f"  set aside, as it cannot be read: {status.aside}"]
        lines += ["  the workers try again by themselves, for now they render the others"]
    if status.state in ("paused", "cancelled"):
        lines += [f"  it goes on with: gridfarm resume {status.batch}"]
    if status.state == "submitting":
        lines += [f"  {SUBMIT_AGAIN}"]
    again = on_a_farm and status.over and status.failed
    retry = ["", f"  gridfarm retry {status.batch} renders {them(status.failed)} again"]
    return "\n".join([*lines, *_failure_lines(status), *(retry if again else [])])


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
