"""pause: a batch is held."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@farm_command
def pause(farm: Farm, out: Output, batch: str) -> None:
    """Hold BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last. Nothing more of it is begun;
    cells that are being rendered are finished. Other batches go on, and take its place.

    \b
      gridfarm pause wrong-lora
      gridfarm resume wrong-lora

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    show_status(farm.pause(batch), out)
