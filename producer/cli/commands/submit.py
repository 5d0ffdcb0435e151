"""submit: a batch is ordered from the farm."""

from __future__ import annotations

import click

from producer.cli.options import as_called, farm_command, priority_option, servers_as_given
from producer.cli.output import Output
from producer.cli.progress_display import watch_to_its_end
from producer.cli.trial_options import BatchOptions, batch_options
from producer.farm import Farm
from producer.submission import SubmitReport


@click.command()
@batch_options
@click.option("--watch", "and_watch", is_flag=True, help="Stay and show the progress.")
@click.option("--gpu", metavar="TYPE", help="Only workers started with --gpu TYPE may render it.")
@priority_option
@farm_command
def submit(
    farm: Farm,
    out: Output,
    options: BatchOptions,
    and_watch: bool,
    gpu: str | None,
    priority: str | None,
) -> int:
    """Order FILE from the farm.

    FILE is a batch file, batch.yaml if none is named, or - for standard input; --prompt orders
    without one. Prints the batch's id, and what it waits for if no worker could take it. The same
    file again is the same batch: what is stored is not rendered twice, a cancelled batch goes on,
    failed cells stay failed (gridfarm retry). One that is under way stays as it is, but for
    --priority.

    \b
      gridfarm submit batch.yaml
      gridfarm submit batch.yaml --watch --gpu l4
      gridfarm submit batch.yaml --priority high

    With --watch it ends with 4 when cells failed, and Ctrl-C ends the watching only.
    """
    report = farm.submit(options.read(out.say), gpu=gpu, priority=priority, **options.trial)
    if not (and_watch and out.as_json):
        # Who watches is told below, as long as it is so.
        more = [] if and_watch else [f"  {line}" for line in report.hold_ups] + _next_step(report)
        out.result(report.__dict__, "\n".join([report.summary, *more]))
    return watch_to_its_end(farm.watcher(report.batch), out) if and_watch else 0


def _next_step(report: SubmitReport) -> list[str]:
    command = "watch" if report.queued else "open"
    return [f"  {as_called()} {command} {report.batch}{servers_as_given()}"]
