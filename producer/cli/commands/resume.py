"""resume: a batch that was paused or cancelled goes on."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch, priority_option
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@priority_option
@farm_command
def resume(farm: Farm, out: Output, batch: str, priority: str | None) -> None:
    """Go on with BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last; one that was paused or
    cancelled. Nothing that is stored is rendered again, and failed cells stay failed (retry).

    \b
      gridfarm resume wrong-lora
      gridfarm resume wrong-lora --priority low

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    show_status(farm.resume(batch, priority=priority), out)
