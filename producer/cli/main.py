"""`gridfarm`: the table of commands, and the one boundary where errors become messages."""

from __future__ import annotations

import json
import os
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click

from common.errors import GridfarmError, UsageError
from producer.cli import interrupts
from producer.cli.output import print_error

HELP = """Render SDXL comparison grids: prompts × seeds × variants, on any number of GPUs.

    gridfarm init            a first batch file
    gridfarm render FILE     all of it on this machine
    gridfarm submit FILE     on the farm named by GRIDFARM_BROKER and GRIDFARM_STORE
"""


class Entry(NamedTuple):
    """A command in its file, `producer/cli/commands/FILE.py`, and the line of `--help` about it."""

    file: str
    function: str
    line: str


#: In the order in which a person meets them.
COMMANDS = {
    "init": Entry("init", "init", "Write a first batch file to FILE."),
    "plan": Entry("plan", "plan", "Show what FILE would render."),
    "render": Entry("render", "render", "Render FILE on this machine."),
    "submit": Entry("submit", "submit", "Order FILE from the farm."),
    "status": Entry("status", "status", "Say how BATCH stands."),
    "watch": Entry("watch", "watch", "Follow BATCH until it is done."),
    "list": Entry("list", "list_batches", "List the batches in the store."),
    "cancel": Entry("cancel", "cancel", "Stop BATCH."),
    "pause": Entry("pause", "pause", "Hold BATCH."),
    "resume": Entry("resume", "resume", "Go on with BATCH."),
    "retry": Entry("retry", "retry", "Render again what failed or was lost of BATCH."),
    "priority": Entry("priority", "priority", "Let BATCH go before the others, or after them."),
    "rm": Entry("rm", "rm", "Remove BATCH from the store, with its pictures."),
    "grid": Entry("grid", "grid", "Draw BATCH as a labelled PNG."),
    "open": Entry("open", "open_grid", "Draw BATCH and show it on this machine's screen."),
    "fetch": Entry("fetch", "fetch", "Copy BATCH's pictures to DIR."),
    "verify": Entry("verify", "verify", "Check that BATCH's pictures are stored and whole."),
    "show": Entry("show", "show", "Say how a picture or a batch was made."),
    "schema": Entry("schema", "schema", "Print the JSON Schema of batch files."),
    "doctor": Entry("doctor", "doctor", "Say what works here and what does not."),
}


class NotLoaded(click.Command):
    """What `gridfarm --help` says of a command; the rest is in a file that nobody needed yet."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.line)
        self.entry = entry

    def load(self) -> click.Command:
        module = import_module(f"producer.cli.commands.{self.entry.file}")
        command: click.Command = getattr(module, self.entry.function)
        return command


class LazyGroup(click.Group):
    """Lists its commands in the table's order, and loads the one that is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0].endswith((".yaml", ".yml")):
            file = shlex.quote(args[0])
            ctx.fail(f"a batch file is no command. Did you mean: gridfarm render {file}")
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, NotLoaded):
            command = command.load()
        interrupts.raise_again()
        return name, command, rest


@click.group(
    cls=LazyGroup,
    commands={name: NotLoaded(name, entry) for name, entry in COMMANDS.items()},
    help=HELP.replace("\n\n    ", "\n\n\b\n    "),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="gridfarm", message="gridfarm %(version)s")
def cli() -> None: ...


def load_command(name: str) -> click.Command:
    """The command `name`, its options and its whole help with it. Raises KeyError."""
    return NotLoaded(name, COMMANDS[name]).load()


def main() -> None:
    code = run(sys.argv[1:])
    interrupts.end_at_once()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code: 0 done, 1 failed, 2 the command line or a file is wrong, 3 broker or store
    unreachable, 4 finished with failed cells, 130 interrupted (SIGTERM 143, SIGHUP 129)."""
    try:
        return _run(arguments)
    except (click.Abort, KeyboardInterrupt) as interrupt:
        return interrupts.exit_code(interrupt)
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError:
        if not interrupts.leave_closed_terminal():
            raise
        return 1


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = cli.main(arguments, prog_name="gridfarm", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GridfarmError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except FileNotFoundError:
        gone = _folder_gone()
        if gone is None:
            raise
        print_error(gone, as_json=as_json)
        return gone.exit_code
    except click.ClickException as error:
        if as_json:
            message = {"error": "UsageError", "message": error.format_message(), "hint": ""}
            click.echo(json.dumps(message))
        error.show()
        return error.exit_code


def _folder_gone() -> UsageError | None:
    """What to say where the folder was removed that this process is in, so that it has no path."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return UsageError("this folder is gone", hint="cd to another")
    return None


if __name__ == "__main__":
    main()
