"""list: the batches in the store."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from producer.batches import ListedBatch
from producer.cli.options import farm_command
from producer.cli.output import Output, styled
from producer.farm import Farm
from producer.wording import counted

#: So many are listed without --all.
LISTED = 20
COLUMNS = ("batch", "state", "stored", "failed", "submitted")
COLOURS = {"done": "green", "rendering": "cyan", "paused": "yellow", "unreadable": "red"}


@click.command("list")
@click.option("--all", "everything", is_flag=True, help=f"All batches, not only the last {LISTED}.")
@farm_command
def list_batches(farm: Farm, out: Output, everything: bool) -> None:
    """List the batches in the store.

    The latest first: id, state, pictures that are stored of those that were ordered, how many
    failed, when it was submitted. Without a broker, or when it is away, the store answers,
    which is up to half a minute behind. A batch is listed as unreadable, with the reason
    below, where one of its documents is damaged or not for you to read; as submitting where its
    submit is under way or was cut off, which the same file submitted again completes. The
    document of a batch that is over is not read for its row; gridfarm status reads it.

    \b
      gridfarm list
      gridfarm list --all --json
    """
    listing = farm.batches(None if everything else LISTED)
    data = {"batches": [row.__dict__ for row in listing]}
    nothing = _nothing(listing.store, on_a_farm=bool(farm.config.broker))
    out.result(data, _table(listing.batches) if listing.batches else nothing)
    for row in listing:
        if row.problem:
            out.say(f"{row.batch}: {row.problem}")
    if listing.total > LISTED and not everything:
        out.say(f"{listing.total - LISTED:,} more: gridfarm list --all")


def _nothing(store: str, *, on_a_farm: bool) -> str:
    order = "submit batch.yaml" if on_a_farm else "render batch.yaml    # on this machine"
    return f"""no batches in {store} yet. Order one:

  gridfarm init              # a first batch file, batch.yaml
  gridfarm {order}"""


def _table(rows: Sequence[ListedBatch]) -> str:
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    columns = [at for at in range(len(COLUMNS)) if any(line[at] for line in cells[1:])]
    widths = {at: max(len(line[at]) for line in cells) for at in columns}
    padded = [[_padded(line[at], at, widths[at]) for at in columns] for line in cells]
    heading = styled("  ".join(padded[0]).rstrip(), dim=True)
    return "\n".join([heading, *("  ".join(line).rstrip() for line in padded[1:])])


def _cells(row: ListedBatch) -> tuple[str, ...]:
    jobs = "?" if row.jobs is None else f"{row.jobs:,}"
    stored = f"{row.done:,}" if row.done == row.jobs else f"{row.done:,} of {jobs}"
    failed = f"{row.failed:,}" if row.failed else ""
    return row.batch, row.state, stored, failed, ago(row.submitted, time.time())


def _padded(text: str, column: int, width: int) -> str:
    """Numbers end below each other; colour says at a glance what is over and what is not."""
    padded = f"{text:>{width}}" if COLUMNS[column] in ("stored", "failed") else f"{text:<{width}}"
    colour = {"state": COLOURS.get(text), "failed": "red"}.get(COLUMNS[column])
    return styled(padded, fg=colour) if colour and text not in COLUMNS else padded


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
