"""`gridfarm`: the group of commands, and the one boundary where errors become messages."""

from __future__ import annotations

import json
import os
import sys

import click

from common.errors import GridfarmError
from producer.cli.commands import grid as pictures
from producer.cli.commands import init as start
from producer.cli.commands import plan
from producer.cli.commands import render as machine
from producer.cli.commands import retry as control
from producer.cli.commands import rm as stored
from producer.cli.commands import submit as batches
from producer.cli.output import print_error

INTERRUPTED = 130

HELP = """Render SDXL comparison grids: prompts × seeds × variants, on any number of GPUs.

    gridfarm init            a first batch file
    gridfarm render FILE     all of it on this machine
    gridfarm submit FILE     on the farm named by GRIDFARM_BROKER and GRIDFARM_STORE
"""


class OrderedGroup(click.Group):
    """Lists its commands in the order in which a person meets them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=OrderedGroup,
    help=HELP.replace("\n\n    ", "\n\n\b\n    "),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="gridfarm", message="gridfarm %(version)s")
def cli() -> None: ...


for command in (
    start.init,
    plan.plan,
    machine.render,
    batches.submit,
    batches.status,
    batches.watch,
    stored.list_batches,
    control.cancel,
    control.pause,
    control.resume,
    control.retry,
    control.priority,
    stored.rm,
    pictures.grid,
    pictures.open_grid,
    pictures.fetch,
    pictures.show,
    start.schema,
    machine.doctor,
):
    cli.add_command(command)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 the command line or a file is wrong, 3 broker or store
    unreachable, 4 finished with failed cells, 130 interrupted."""
    as_json = "--json" in arguments
    try:
        code = cli.main(arguments, prog_name="gridfarm", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GridfarmError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        if as_json:
            message = {"error": "UsageError", "message": error.format_message(), "hint": ""}
            click.echo(json.dumps(message))
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    main()
