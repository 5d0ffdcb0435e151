"""priority: a batch goes before the others, or after them."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@click.argument("priority", metavar="LEVEL", type=click.Choice(["high", "normal", "low"]))
@farm_command
def priority(farm: Farm, out: Output, batch: str, priority: str) -> None:
    """Let BATCH go before the others, or after them.

    BATCH is an id, its beginning, a name, a batch file, or @last; also one that is under way.
    LEVEL is high, normal or low. While a batch of a higher priority has cells to send, no
    other begins one; batches of the same priority take turns. Cells that are being rendered
    are finished.

    \b
      gridfarm priority wrong-lora high

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    show_status(farm.prioritise(batch, priority), out)
