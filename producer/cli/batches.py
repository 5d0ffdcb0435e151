"""submit, status, watch: what is ordered and how far it is."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import (
    Farm,
    batch_argument,
    farm_command,
    priority_number,
    priority_option,
)
from producer.cli.output import counted
from producer.cli.trial import Trial, read_trial, trial_command

if TYPE_CHECKING:
    from common.batch import Batch
    from producer.batches import Status
    from producer.submission import SubmitReport

FAILED_CELLS = 4
SHOWN_FAILURES = 20


@click.command()
@trial_command
@click.option("--watch", "and_watch", is_flag=True, help="Stay and show the progress.")
@click.option("--gpu", metavar="TYPE", help="Only workers started with --gpu TYPE may render it.")
@priority_option
@farm_command
def submit(farm: Farm, trial: Trial, and_watch: bool, gpu: str | None, priority: str | None) -> int:
    """Order FILE from the farm.

    FILE is a batch file, or - for standard input; --prompt orders without one. Prints the
    batch's id. The same file again is the same batch: what is stored is not rendered twice, a
    cancelled batch goes on, failed cells stay failed (gridfarm retry). One that is under way
    stays as it is, but for --priority.

    \b
      gridfarm submit batch.yaml
      gridfarm submit batch.yaml --watch --gpu l4
      gridfarm submit batch.yaml --priority high

    With --watch it ends with 4 when cells failed, and Ctrl-C ends the watching only.
    """
    from common.batch import slug
    from producer.batches import remember
    from producer.submission import Hub, resolve
    from producer.submission import submit as place

    batch_file = read_trial(farm, trial)
    if gpu:
        pinned = batch_file.batch.model_copy(update={"gpu": slug(gpu)})
        batch_file = replace(batch_file, batch=pinned)
    farm.ledger.broker.ping()
    with farm.out.progress() as progress:
        resolved = resolve(batch_file, Hub(farm.store, farm.out.say))
        report = place(
            resolved, farm.store, farm.ledger, progress, priority=priority_number(priority)
        )
    remember(farm.settings, report.batch)
    if not (and_watch and farm.out.as_json):
        farm.out.result(report.__dict__, submit_text(report))
    return follow(farm, report.batch, resolved.batch) if and_watch else 0


def submit_text(report: SubmitReport) -> str:
    if report.queued == 0:
        return f"{report.batch}: nothing to render, {report.stored:,} of {report.jobs:,} stored"
    already = f", {report.stored:,} stored already" if report.stored else ""
    paused = f"; it is paused: gridfarm resume {report.batch}" if report.state == "paused" else ""
    return f"{report.batch}: {counted(report.queued, 'picture')} to render{already}{paused}"


@click.command()
@batch_argument
@farm_command
def status(farm: Farm, batch: str) -> None:
    """Say how BATCH stands.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Says how many pictures are stored, running and waiting, how many workers listen, and why
    cells failed. Without a broker, or when it is away, the store answers.

    \b
      gridfarm status
      gridfarm status wrong-lora --json
    """
    from producer.batches import Watcher

    batch_id, document = farm.find(batch)
    seen = Watcher(batch_id, document, farm.store, farm.answering_ledger).status()
    farm.out.result(status_json(seen), status_text(seen))


@click.command()
@batch_argument
@farm_command
def watch(farm: Farm, batch: str) -> int:
    """Follow BATCH until it is done.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Says also what workers load or download, and that none listens. With --json each change is
    an object on a line of its own.

    \b
      gridfarm watch
      gridfarm watch wrong-lora --json

    A batch that is paused is watched on; one that is cancelled is over. Ends with 4 when cells
    failed, with 3 when every worker has been paused for five minutes, else with 0, a cancelled
    batch too: `state` in the JSON tells. Ctrl-C ends the watching only; the farm goes on.
    """
    batch_id, document = farm.find(batch)
    farm.ledger.broker.ping()
    return follow(farm, batch_id, document)


def follow(farm: Farm, batch_id: str, document: Batch) -> int:
    """Show a batch's progress to its end; the exit code."""
    from producer.batches import Watcher
    from producer.cli.live import show_progress

    watcher = Watcher(batch_id, document, farm.store, farm.ledger)
    try:
        last = show_progress(watcher.follow(), farm.out)
    except KeyboardInterrupt:
        farm.out.say(f"no longer watching; the farm goes on. gridfarm watch {batch_id} comes back")
        return 0
    if not farm.out.as_json:
        farm.out.result({}, status_text(last))
    return FAILED_CELLS if last.failed else 0


def status_json(seen: Status) -> dict[str, Any]:
    return {
        "batch": seen.batch,
        "state": seen.state,
        "priority": seen.priority,
        "jobs": seen.jobs,
        "done": seen.done,
        "failed": seen.failed,
        "running": seen.running,
        "waiting": seen.waiting,
        "workers": seen.workers,
        "failures": seen.failures,
    }


def status_text(seen: Status) -> str:
    parts = [f"{seen.done:,} of {counted(seen.jobs, 'picture')} stored"]
    parts += [f"{seen.failed:,} failed"] if seen.failed else []
    if seen.state == "cancelled":
        parts += [f"{seen.running:,} running, to be stopped"] if seen.running else []
        parts += [f"{seen.waiting:,} not rendered"] if seen.waiting else []
    elif not seen.over:
        parts += [f"{seen.running:,} running", f"{seen.waiting:,} waiting"]
        parts += [counted(seen.workers, "worker") if seen.workers else "no worker is listening"]
    urgency = "" if seen.priority == "normal" or seen.over else f", {seen.priority} priority"
    lines = [f"{seen.batch}: {seen.state}{urgency}", f"  {', '.join(parts)}"]
    lines += [f"  paused: {w.name}: {w.message}" for w in seen.listening if w.state == "paused"]
    if seen.state in ("paused", "cancelled"):
        lines += [f"  it goes on with: gridfarm resume {seen.batch}"]
    return "\n".join([*lines, *_failure_lines(seen)])


def _failure_lines(seen: Status) -> list[str]:
    lines = []
    for failure in seen.failures[:SHOWN_FAILURES]:
        labels: Any = failure["labels"]
        place = " · ".join(
            textwrap.shorten(label, 40, placeholder=" …") for label in labels.values()
        )
        lines += ["", f"  failed #{failure['i']} {place}"]
        lines += textwrap.wrap(
            str(failure["reason"]), 90, initial_indent="    ", subsequent_indent="    "
        )
    if seen.failed > SHOWN_FAILURES:
        lines += ["", f"  … {seen.failed - SHOWN_FAILURES:,} more failed; --json has them"]
    return lines
