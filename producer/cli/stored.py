"""list and rm: the batches in the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from common.errors import GridfarmError, NotFound, StoreError, UsageError
from common.text import escaped
from producer.cli.complete import batches as complete_batches
from producer.cli.options import Farm, farm_command
from producer.cli.output import counted

if TYPE_CHECKING:
    from common.dispatch import Ledger
    from producer.batches import Documents, Overview, Pictures

LISTED = 20
NOT_REMOVED = 1


@click.command("list")
@click.option("--all", "everything", is_flag=True, help=f"All batches, not only the last {LISTED}.")
@farm_command
def list_batches(farm: Farm, everything: bool) -> None:
    """List the batches in the store.

    The latest first: id, state, pictures that are stored of those that were ordered, how many
    failed, when it was submitted. Without a broker, or when it is away, the store answers,
    which is up to half a minute behind.

    \b
      gridfarm list
      gridfarm list --all --json
    """
    from producer.batches import overview

    farm.look_where("")
    rows, total = overview(farm.store, farm.answering_ledger, None if everything else LISTED)
    data = {"batches": [row.__dict__ for row in rows]}
    farm.out.result(data, _table(rows) if rows else _nothing(farm))
    if total > LISTED and not everything:
        farm.out.say(f"{total - LISTED:,} more: gridfarm list --all")


def _nothing(farm: Farm) -> str:
    return f"""no batches in {farm.store.url} yet. Order one:

  gridfarm init              # a first batch file, batch.yaml
  gridfarm submit batch.yaml"""


COLUMNS = ("batch", "state", "stored", "failed", "submitted")
COLOURS = {"done": "green", "rendering": "cyan", "paused": "yellow"}


def _table(rows: Sequence[Overview]) -> str:
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    columns = [at for at in range(len(COLUMNS)) if any(line[at] for line in cells[1:])]
    widths = {at: max(len(line[at]) for line in cells) for at in columns}
    padded = [[_padded(line[at], at, widths[at]) for at in columns] for line in cells]
    heading = click.style("  ".join(padded[0]).rstrip(), dim=True)
    return "\n".join([heading, *("  ".join(line).rstrip() for line in padded[1:])])


def _cells(row: Overview) -> tuple[str, ...]:
    jobs = "?" if row.jobs is None else f"{row.jobs:,}"
    stored = f"{row.done:,}" if row.done == row.jobs else f"{row.done:,} of {jobs}"
    failed = f"{row.failed:,}" if row.failed else ""
    return row.batch, row.state, stored, failed, ago(row.submitted, time.time())


def _padded(text: str, column: int, width: int) -> str:
    """Numbers end below each other; colour says at a glance what is over and what is not."""
    padded = f"{text:>{width}}" if COLUMNS[column] in ("stored", "failed") else f"{text:<{width}}"
    colour = {"state": COLOURS.get(text), "failed": "red"}.get(COLUMNS[column])
    return click.style(padded, fg=colour) if colour and text not in COLUMNS else padded


def ago(when: float, now: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`; from two weeks on the date. Both in
    Unix time; nothing for a `when` of 0, which nobody wrote down."""
    seconds = max(0, int(now - when))
    if not when:
        return ""
    if seconds < 60:
        return "just now"
    if seconds < 3_600:
        return f"{seconds // 60} min ago"
    if seconds < 86_400:
        return f"{seconds // 3_600} h ago"
    if seconds < 14 * 86_400:
        return f"{counted(seconds // 86_400, 'day')} ago"
    return time.strftime("%Y-%m-%d", time.localtime(when))


@click.command()
@click.argument(
    "words", metavar="BATCH...", nargs=-1, required=True, shell_complete=complete_batches
)
@click.option("--cancel", "and_cancel", is_flag=True, help="Also what is not finished: stop it.")
@click.option("--keep-pictures", is_flag=True, help="Remove the batch and leave its pictures.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@farm_command
def rm(farm: Farm, words: tuple[str, ...], and_cancel: bool, keep_pictures: bool, yes: bool) -> int:
    """Remove BATCH from the store, with its pictures.

    BATCH is an id, its beginning, a name, a batch file, or @last. Says how many pictures
    go and asks first. Pictures that another batch in the store has stay, and so do models and
    LoRAs. A batch that is not finished is refused without --cancel.

    Above 10,000 cells nobody enumerates whose a picture is: where this batch or any other in
    the store is as large, the pictures stay, and the answer says so.

    \b
      gridfarm rm wrong-lora
      gridfarm rm @last --cancel --yes

    Ends with 1 when the answer was no, with 2 when there is no terminal to ask on and no
    --yes.
    """
    from producer.batches import Pictures

    if not (yes or sys.stdin.isatty()):
        raise UsageError(
            "rm asks before it removes, and there is no terminal to ask on",
            hint="--yes removes without asking",
        )
    ledger = farm.ledger_if_any
    if ledger:
        ledger.ping()
    batches = dict(_find(farm, word) for word in words)
    _refuse_unfinished(farm, batches, and_cancel)
    if not (yes or _agreed(farm, batches, keep_pictures)):
        farm.out.result({"batches": []} | _counts(Pictures()), "nothing was removed")
        return NOT_REMOVED
    pictures = _remove(farm, batches, ledger, keep_pictures)
    data = {"batches": list(batches)} | _counts(pictures)
    farm.out.result(data, f"removed {_what_goes(batches, pictures)}")
    return 0


def _agreed(farm: Farm, batches: Documents, keep: bool) -> bool:
    with farm.out.progress() as progress:
        pictures = _pictures(farm, batches, keep, progress)
    click.echo(escaped(_what_goes(batches, pictures)), err=True)
    return click.confirm("Remove?", err=True)


def _remove(farm: Farm, batches: Documents, ledger: Ledger | None, keep: bool) -> Pictures:
    from producer.batches import Controller, remove, wait_until_stopped

    for batch_id in batches:
        Controller(batch_id, farm.store, ledger).cancel()
    if ledger:
        wait_until_stopped(batches, ledger, lambda running: farm.out.say(_waiting(running)))
    with farm.out.progress() as progress:
        # Looked at now, not when the person was asked: meanwhile pictures were stored and
        # batches submitted.
        pictures = _pictures(farm, batches, keep, progress)
        remove(batches, pictures, farm.store, ledger, progress)
    return pictures


def _find(farm: Farm, word: str) -> tuple[str, Any]:
    """A batch; or, by its whole id, one whose document is gone or cannot be read."""
    try:
        return farm.find(word)
    except StoreError:
        raise
    except GridfarmError as error:
        from common.batch import BATCH_ID
        from producer.batches import batch_ids

        if BATCH_ID.match(word) and word in batch_ids(farm.store):
            return word, None
        if isinstance(error, NotFound):
            raise
        raise NotFound(error.message, hint="to remove it, give its whole id") from error


def _refuse_unfinished(farm: Farm, batches: Documents, and_cancel: bool) -> None:
    from common.store import object_names

    active = [batch_id for batch_id in batches if farm.store.exists(object_names.active(batch_id))]
    if active and not and_cancel:
        raise UsageError(
            f"not finished: {', '.join(active)}",
            hint=f"--cancel stops it first; gridfarm status {active[0]} says how it stands",
        )
    if active and not farm.settings.broker:
        farm.out.say("no broker is configured: a worker that renders it now is not told to stop")


def _pictures(farm: Farm, batches: Documents, keep: bool, progress: Any) -> Pictures:
    from producer.batches import Pictures, choose_pictures

    if keep:
        return Pictures(stay=None, why="--keep-pictures")
    return choose_pictures(batches, farm.store, progress)


def _what_goes(batches: Documents, pictures: Pictures) -> str:
    """`night-1a2b3c4d5e6f7a8b: 15 pictures, 3 of them stay because other batches have them`."""
    many = f"{len(batches)} batches ({', '.join(batches)})"
    name = many if len(batches) > 1 else next(iter(batches))
    if pictures.stay is None:
        return f"{name}; the pictures stay ({pictures.why})"
    total = len(pictures.go) + pictures.stay
    some = f"{pictures.stay:,} of them stay" if pictures.go else "all stay"
    some = "it stays" if total == 1 else some
    return f"{name}: {counted(total, 'picture')}" + (
        f", {some} because other batches have them" if pictures.stay else ""
    )


def _counts(pictures: Pictures) -> dict[str, Any]:
    """`stayed` is null when nobody counted."""
    return {"pictures": len(pictures.go), "stayed": pictures.stay, "why": pictures.why}


def _waiting(running: int) -> str:
    return f"waiting for {counted(running, 'running cell')} to stop"
