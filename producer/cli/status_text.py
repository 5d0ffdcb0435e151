"""How a batch stands, as JSON and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from common.dispatch import WorkerReport
from producer.batches import Status
from producer.cli.flaw_text import again_by, them
from producer.cli.output import Output
from producer.wording import counted

#: So many different reasons are shown, and of each so many cells.
SHOWN_FAILURES, SHOWN_CELLS = 20, 3
#: Of so many workers each is shown.
FEW_WORKERS = 4
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
        "waits_for": status.waits_for,
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
    elif status.state == "stopped":
        parts += [f"{status.waiting:,} not rendered"] if status.waiting else []
    elif not status.over:
        parts += [f"{status.running:,} running", f"{status.waiting:,} waiting"]
        workers = f"{counted(status.workers, 'worker')}{steps_text(status.listening)}"
        parts += [workers] if status.workers else []
    urgency = "" if status.priority == "normal" or status.over else f", {status.priority} priority"
    lines = [f"{status.batch}: {status.state}{urgency}", f"  {', '.join(parts)}"]
    if status.listeners and not status.over:
        lines += [f"  {line}" for line in status.listeners.hold_ups]
    if status.aside:
        lines += [f"  set aside, as it cannot be read: {status.aside}"]
        lines += ["  the workers try again by themselves, for now they render the others"]
    if status.state in ("paused", "cancelled"):
        broker = "" if on_a_farm else ", with its broker named (GRIDFARM_BROKER)"
        lines += [f"  it goes on with: gridfarm resume {status.batch}{broker}"]
    if status.state == "stopped":
        lines += ["  its render on this machine has ended; the same gridfarm render goes on"]
    if status.state == "submitting":
        lines += [f"  {SUBMIT_AGAIN}"]
    again = again_by(status.batch, on_a_farm=on_a_farm)
    retry = ["", f"  {again} renders {them(status.failed)} again"]
    to_retry = status.over and status.failed
    return "\n".join([*lines, *_failure_lines(status), *(retry if to_retry else [])])


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
    """Each reason once, with the first of its cells."""
    lines, shown = [], 0
    for reason, cells in [*_by_reason(status).items()][:SHOWN_FAILURES]:
        shown += len(cells)
        some = ", ".join(map(_place, cells[:SHOWN_CELLS]))
        if len(cells) == 1:
            head = f"  failed {some}"
        else:
            such_as = ", such as" if len(cells) > SHOWN_CELLS else ":"
            head = f"  failed {len(cells):,} cells{such_as} {some}"
        lines += ["", head]
        lines += textwrap.wrap(reason, 90, initial_indent="    ", subsequent_indent="    ")
    if status.failed > shown:
        lines += ["", f"  … {status.failed - shown:,} more failed; --json has them"]
    return lines


def _by_reason(status: Status) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for failure in status.failures:
        found.setdefault(str(failure["reason"]), []).append(failure)
    return found


def _place(failure: dict[str, object]) -> str:
    labels: Any = failure["labels"]
    shown = (textwrap.shorten(label, 40, placeholder=" …") for label in labels.values())
    return f"#{failure['i']} {' · '.join(shown)}".rstrip()


class FailureNews:
    """Reasons why cells failed, each told once, while a batch is watched."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def of(self, status: Status) -> Iterator[str]:
        """A line for each reason that is new, up to SHOWN_FAILURES of them."""
        for reason, cells in _by_reason(status).items():
            if reason not in self._told and len(self._told) < SHOWN_FAILURES:
                self._told.add(reason)
                yield f"failed {_place(cells[0])}: {reason}"
