"""Options that several commands share, the Farm that each command is called with, and how lines
that are advised name both."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from producer.batches import LAST
from producer.cli import completion
from producer.cli.output import Output
from producer.farm import Farm
from producer.local import from_here

Command = TypeVar("Command", bound=Callable[..., Any])

broker_option = click.option(
    "--broker", metavar="URL", help="redis:// or rediss:// URL  [env: GRIDFARM_BROKER]"
)
store_option = click.option(
    "--store", metavar="URL", help="s3://bucket/prefix, or a folder  [env: GRIDFARM_STORE]"
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
)


where_option = click.option(
    "--where",
    metavar="AXIS=VALUE",
    multiple=True,
    help="Only cells with this value (prompt=wolf, 'steps>20'); repeatable: any of an axis' "
    "values, all of its comparisons.",
    shell_complete=completion.axes,
)


def sheet_options(command: Command) -> Command:
    """--rows, --columns, --where and --cell-size: of every command that draws sheets, since each
    names them to whoever asks for too much."""
    for option in (_cell_size_option, where_option, _columns_option, _rows_option):
        command = option(command)
    return command


_rows_option = click.option(
    "--rows",
    metavar="AXES",
    help="One axis or several joined by commas; default prompt, else the longest axis.",
    shell_complete=completion.axes,
)
_columns_option = click.option(
    "--columns",
    metavar="AXES",
    help="Likewise; default variant, else the last axis.",
    shell_complete=completion.axes,
)
_cell_size_option = click.option(
    "--cell-size",
    type=click.IntRange(32, 4096),
    help="Pixels of a picture's longer side; default what fits a screen.",
)


def json_command(command: Command) -> Command:
    """A command with --json; its first argument is an Output."""

    @json_option
    @wraps(command)
    def wrapped(as_json: bool, **options: Any) -> Any:
        out = Output(as_json)
        try:
            return command(out, **options)
        finally:
            out.end_progress()

    return wrapped  # type: ignore[return-value]


def farm_command(command: Command) -> Command:
    """A command with --broker, --store and --json; its first arguments are a Farm of those
    servers, which tells the Output what it does, and the Output."""

    @broker_option
    @store_option
    @json_command
    @wraps(command)
    def wrapped(out: Output, broker: str | None, store: str | None, **options: Any) -> Any:
        farm = Farm(broker=broker, store=store, say=out.say, progress=out.progress)
        return command(farm, out, **options)

    return wrapped  # type: ignore[return-value]


#: BATCH for what only looks: @last where none is named.
batch_argument = click.argument(
    "batch", metavar="[BATCH]", default=LAST, shell_complete=completion.batches
)
#: BATCH for what changes something: the person names it.
named_batch = click.argument("batch", metavar="BATCH", shell_complete=completion.batches)

priority_option = click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    help="All of high goes first, then normal (the default), then low.",
)


def as_called() -> str:
    """`gridfarm`, or the path to it where it is not on the PATH, so that lines can be pasted."""
    return "gridfarm" if shutil.which("gridfarm") else shlex.quote(from_here(sys.argv[0]))


def servers_as_given() -> str:
    """The servers that the command line named, for the lines that are advised: ` --store x`."""
    given = click.get_current_context().params
    return "".join(
        f" --{name} {shlex.quote(given[name])}" for name in ("broker", "store") if given.get(name)
    )
