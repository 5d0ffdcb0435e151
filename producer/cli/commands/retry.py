"""cancel, pause, resume, retry, priority: what a person says to a batch in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli import completion as complete
from producer.cli.commands.submit import status_json, status_text
from producer.cli.options import Farm, farm_command, priority_number, priority_option
from producer.cli.output import counted

if TYPE_CHECKING:
    from producer.batches import Controller, Status

which_batch = click.argument("word", metavar="BATCH", shell_complete=complete.batches)
FINISHED = "is done; there is nothing to {}"


@click.command()
@which_batch
@farm_command
def cancel(farm: Farm, word: str) -> None:
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
    steered = _Steered(farm, word)
    if steered.unless_done("cancel"):
        steered.controller.cancel()
    steered.show()


@click.command()
@which_batch
@farm_command
def pause(farm: Farm, word: str) -> None:
    """Hold BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last. Nothing more of it is begun;
    cells that are being rendered are finished. Other batches go on, and take its place.

    \b
      gridfarm pause wrong-lora
      gridfarm resume wrong-lora

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    steered = _Steered(farm, word)
    if steered.before.state == "cancelled":
        farm.out.say(f"{steered.batch_id} is cancelled; there is nothing to pause")
    elif steered.unless_done("pause"):
        steered.controller.pause()
    steered.show()


@click.command()
@which_batch
@priority_option
@farm_command
def resume(farm: Farm, word: str, priority: str | None) -> None:
    """Go on with BATCH.

    BATCH is an id, its beginning, a name, a batch file, or @last; one that was paused or
    cancelled. Nothing that is stored is rendered again, and failed cells stay failed (retry).

    \b
      gridfarm resume wrong-lora
      gridfarm resume wrong-lora --priority low

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    steered = _Steered(farm, word)
    if steered.unless_done("resume"):
        steered.controller.resume(priority_number(priority))
    steered.show()


@click.command()
@which_batch
@click.option("--all", "everything", is_flag=True, help="Everything that is not stored.")
@priority_option
@farm_command
def retry(farm: Farm, word: str, everything: bool, priority: str | None) -> None:
    """Render BATCH's failed cells again.

    BATCH is an id, its beginning, a name, a batch file, or @last. One that is done, paused or
    cancelled goes on with it. With --all also what was stored once and is not there any more;
    above 10,000 cells all of them are sent then, and the workers look what is stored.

    \b
      gridfarm retry wrong-lora
      gridfarm retry wrong-lora --all

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    steered = _Steered(farm, word)
    missing = steered.missing(everything)
    if missing == 0:
        what = "every picture is stored" if everything else "no cell has failed"
        farm.out.say(f"{steered.batch_id}: {what}; there is nothing to retry")
    else:
        with farm.out.progress() as progress:
            steered.controller.retry(
                everything=everything,
                priority=priority_number(priority),
                progress=progress,
            )
        farm.out.say(f"{steered.batch_id}: {counted(missing, 'cell')} to render again")
    steered.show()


@click.command()
@which_batch
@click.argument("priority", metavar="LEVEL", type=click.Choice(["high", "normal", "low"]))
@farm_command
def priority(farm: Farm, word: str, priority: str) -> None:
    """Let BATCH go before the others, or after them.

    BATCH is an id, its beginning, a name, a batch file, or @last; also one that is under way.
    LEVEL is high, normal or low. While a batch of a higher priority has cells to send, no
    other begins one; batches of the same priority take turns. Cells that are being rendered
    are finished.

    \b
      gridfarm priority wrong-lora high

    Ends with 3 when the broker is away. The store knows it then, and the workers follow.
    """
    steered = _Steered(farm, word)
    if steered.unless_done("render sooner"):
        steered.controller.prioritise(priority_number(priority))
    steered.show()


class _Steered:
    """The batch that a person named, before and after."""

    def __init__(self, farm: Farm, word: str) -> None:
        self.farm = farm
        self.farm.settings.need_broker()
        self.batch_id, self.document = farm.find(word)
        self.before = self._look()

    @property
    def controller(self) -> Controller:
        from producer.batches import Controller

        return Controller(self.batch_id, self.farm.store, self.farm.ledger)

    def unless_done(self, verb: str) -> bool:
        """False, said aloud, for a batch that is over for good."""
        done = self.before.state == "done"
        if done:
            self.farm.out.say(f"{self.batch_id} {FINISHED.format(verb)}")
        return not done

    def missing(self, everything: bool) -> int:
        """How many cells `retry` is to render, as far as that is known without looking at each."""
        if not everything:
            return self.before.failed
        from common.batch import Matrix
        from producer.submission import look_up

        matrix = Matrix(self.document)
        if matrix.distinct is None:
            return matrix.jobs
        return matrix.jobs - look_up(matrix, self.batch_id, self.farm.store).count

    def show(self) -> None:
        seen = self._look()
        self.farm.out.result(status_json(seen), status_text(seen))

    def _look(self) -> Status:
        from producer.batches import Watcher

        return Watcher(self.batch_id, self.document, self.farm.store, self.farm.ledger).status()
