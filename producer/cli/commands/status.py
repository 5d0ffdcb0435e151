"""status: how a batch stands."""

from __future__ import annotations

import click

from producer.cli.options import batch_argument, farm_command
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@batch_argument
@farm_command
def status(farm: Farm, out: Output, batch: str) -> None:
    """Say how BATCH stands.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Says how many pictures are stored, running and waiting, how many workers listen or what kind
    is missing, which are paused, and why cells failed. Without a broker, or when it is away, the
    store answers.

    \b
      gridfarm status
      gridfarm status wrong-lora --json
    """
    show_status(farm.status(batch), out, on_a_farm=bool(farm.config.broker))
