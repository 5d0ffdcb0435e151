"""cancel: nothing more of a batch is begun."""

from __future__ import annotations

import click

from producer.cli.options import farm_command, named_batch
from producer.cli.output import Output
from producer.cli.status_text import show_status
from producer.farm import Farm


@click.command()
@named_batch
@farm_command
def cancel(farm: Farm, out: Output, batch: str) -> None:
    """Stop BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last. Nothing more of it is begun;
    cells that are being rendered stop at their next step, within seconds, unless another batch
    waits for the same picture. What is stored stays. `resume`, or submitting the file again,
    goes on where it stood; `rm` deletes it.

    \b
      gridfarm cancel wrong-lora
      gridfarm cancel @last --json

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    show_status(farm.cancel(batch), out)
