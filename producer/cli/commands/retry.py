"""retry: failed cells are rendered again."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch, priority_option
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@click.option("--all", "everything", is_flag=True, help="Everything that is not stored.")
@priority_option
@farm_command
def retry(farm: Farm, out: Output, batch: str, everything: bool, priority: str | None) -> None:
    """Render BATCH's failed cells again.

    BATCH is an id, its beginning, a name, a batch file, or @last. One that is done, paused or
    cancelled goes on with it. With --all also what was stored once and is not there any more;
    above 10,000 cells all of them are sent then, and the workers look what is stored.

    \b
      gridfarm retry wrong-lora
      gridfarm retry wrong-lora --all

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    show_status(farm.retry(batch, everything=everything, priority=priority), out)
