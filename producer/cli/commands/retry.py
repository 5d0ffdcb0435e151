"""retry: failed cells are rendered again."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch, priority_option
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Everything that is not stored, above 10,000 cells too.",
)
@priority_option
@farm_command
def retry(farm: Farm, out: Output, batch: str, everything: bool, priority: str | None) -> None:
    """Render again what failed or was lost of BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last. One that is done, paused or
    cancelled goes on with it. Rendered again are the cells that failed, the pictures that were
    stored and are not there any more, and those that gridfarm verify or fetch found damaged:
    these are read once more, and deleted if they still are.

    Above 10,000 cells nobody looks for each picture: what failed is rendered, and what verify or
    fetch found. With --all every cell is sent then, and the workers look what is stored. Below,
    --all adds what nobody has begun yet, which comes anyway unless the batch is cancelled.

    \b
      gridfarm retry wrong-lora
      gridfarm retry wrong-lora --all

    Ends with 3 when there is something to render and the broker is away. The store knows it then,
    and the workers follow.
    """
    show_status(farm.retry(batch, everything=everything, priority=priority), out)
