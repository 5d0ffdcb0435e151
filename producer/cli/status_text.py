"""How a batch stands, as JSON and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from common.dispatch import WorkerReport
from producer.batches import Status
from producer.cli.flaw_text import them
from producer.cli.output import Output
from producer.wording import counted

SHOWN_FAILURES = 20
#: Of so many workers each is shown.
FEW_WORKERS = 4
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
        workers = f"{counted(status.workers, 'worker')}{steps_text(status.listening)}"
        parts += [workers if status.workers else "no worker is listening"]
    urgency = "" if status.priority == "normal" or status.over else f", {status.priority} priority"
    lines = [f"{status.batch}: {status.state}{urgency}", f"  {', '.join(parts)}"]
    lines += [f"  paused: {w.name}: {w.message}" for w in status.listening if w.state == "paused"]
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


def steps_text(workers: Sequence[WorkerReport]) -> str:
    """` · step 12 of 50`, ` · steps 12, 3 of 50`: of pictures that take long, while the workers
    are few enough to read each."""
    at = [(w.step, w.steps) for w in sorted(workers, key=lambda w: w.name) if w.steps]
    if not at or len(workers) > FEW_WORKERS:
        return ""
    word = "step" if len(at) == 1 else "steps"
    if len({steps for _, steps in at}) == 1:
        return f" · {word} {', '.join(str(step) for step, _ in at)} of {at[0][1]}"
    return f" · {word} {', '.join(f'{step} of {steps}' for step, steps in at)}"


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
