"""watch: a batch is followed until it is over."""

from __future__ import annotations

import click

from producer.cli.options import batch_argument, farm_command
from producer.cli.output import Output
from producer.cli.progress_display import watch_to_its_end
from producer.farm import Farm


@click.command()
@batch_argument
@farm_command
def watch(farm: Farm, out: Output, batch: str) -> int:
    """Follow BATCH until it is done.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Says also what workers load or download, what kind of worker is missing and who listens
    instead, which are paused, and that the broker does not answer. With --json each change is an
    object on a line of its own.

    \b
      gridfarm watch
      gridfarm watch wrong-lora --json

    A batch that is paused is watched on; one that is cancelled is over. Ends with 4 when cells
    failed, with 3 when every worker has been paused for five minutes, the broker was away for a
    minute or the farm works with another store, else with 0, a cancelled batch too: `state` in the
    JSON tells. Ctrl-C ends the watching only; the farm goes on.
    """
    return watch_to_its_end(farm.watcher(batch), out)
