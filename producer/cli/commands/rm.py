"""rm: batches are taken out of the store."""

from __future__ import annotations

import sys
from typing import Any

import click

from common.errors import UsageError
from common.text import escaped
from producer.batches import RemovalPlan
from producer.cli import completion
from producer.cli.options import farm_command
from producer.cli.output import Output
from producer.farm import Farm
from producer.local import from_here
from producer.wording import counted

NOT_REMOVED = 1


@click.command()
@click.argument(
    "words", metavar="BATCH...", nargs=-1, required=True, shell_complete=completion.batches
)
@click.option("--cancel", "and_cancel", is_flag=True, help="Also what is not finished: stop it.")
@click.option("--keep-pictures", is_flag=True, help="Remove the batch and leave its pictures.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@farm_command
def rm(
    farm: Farm,
    out: Output,
    words: tuple[str, ...],
    and_cancel: bool,
    keep_pictures: bool,
    yes: bool,
) -> int:
    """Remove BATCH from the store, with its pictures.

    BATCH is an id, its beginning, a name, a batch file, or @last. Says how many pictures
    go and asks first. Pictures that another batch in the store has stay, and so do models and
    LoRAs. A batch that is not finished is refused without --cancel.

    Above 10,000 cells nobody enumerates whose a picture is: where this batch or any other in
    the store is as large, the pictures stay, and the answer says so.

    A batch that is submitted meanwhile loses nothing: its submit waits until this has ended.
    What is cut off is completed by the next rm, of any batch.

    \b
      gridfarm rm wrong-lora
      gridfarm rm @last --cancel --yes

    Ends with 1 when the answer was no, with 2 when there is no terminal to ask on and no
    --yes.
    """
    if not (yes or sys.stdin.isatty()):
        raise UsageError(
            "rm asks before it removes, and there is no terminal to ask on",
            hint="--yes removes without asking",
        )

    def agreed(plan: RemovalPlan) -> bool:
        out.end_progress()
        click.echo(escaped(_what_goes(plan)), err=True)
        return click.confirm(f"Remove from {escaped(from_here(plan.store))}?", err=True)

    removed = farm.remove(
        *words,
        cancel=and_cancel,
        keep_pictures=keep_pictures,
        confirm=None if yes else agreed,
    )
    if removed is None:
        out.result(_json(RemovalPlan(())), "nothing was removed")
        return NOT_REMOVED
    out.result(_json(removed), f"removed {_what_goes(removed)}")
    return 0


def _json(plan: RemovalPlan) -> dict[str, Any]:
    """`stayed` is null when nobody counted."""
    return {
        "batches": list(plan.batches),
        "store": plan.store,
        "pictures": len(plan.go),
        "stayed": plan.stay,
        "why": plan.why,
    }


def _what_goes(plan: RemovalPlan) -> str:
    """`night-1a2b3c4d5e6f7a8b: 15 pictures, 3 of them stay because other batches have them`."""
    many = f"{len(plan.batches)} batches ({', '.join(plan.batches)})"
    name = many if len(plan.batches) > 1 else plan.batches[0]
    if plan.stay is None:
        return f"{name}; the pictures stay ({plan.why})"
    total = len(plan.go) + plan.stay
    some = f"{plan.stay:,} of them stay" if plan.go else "all stay"
    some = "it stays" if total == 1 else some
    return f"{name}: {counted(total, 'picture')}" + (
        f", {some} because other batches have them" if plan.stay else ""
    )
