"""docs/commands.md: every command's help as one page, from the commands themselves.

python -m producer.cli.reference > docs/commands.md
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator

import click

from producer.cli.main import COMMANDS, cli, load_command

REGENERATE = "python -m producer.cli.reference > docs/commands.md"
INTRODUCTION = f"""\
# Commands

What `gridfarm COMMAND --help` says, as one page. It is generated:
`{REGENERATE}`.

Every command takes `--json`: stdout then carries the result alone, one object, and messages go to
stderr. Exit codes: 0 done, 1 failed, 2 the command line or a file is wrong, 3 broker or store
unreachable, 4 finished with failed cells, 130 interrupted.
"""
NO_WRAP = 1_000


def reference() -> str:
    """The whole page, commands in the order of `gridfarm --help`."""
    top = click.Context(cli, info_name="gridfarm")
    contents = [f"- [{name}](#gridfarm-{name}): {_short(name)}" for name in COMMANDS]
    sections = [_section(name, load_command(name), top) for name in COMMANDS]
    return "\n".join([INTRODUCTION, *contents, "", *sections])


def _short(name: str) -> str:
    return load_command(name).get_short_help_str(limit=NO_WRAP).rstrip(".")


def _section(name: str, command: click.Command, top: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=top, terminal_width=NO_WRAP)
    usage = command.get_usage(context).removeprefix("Usage: ")
    return "\n\n".join([f"## gridfarm {name}", _code(usage), *_body(command), _options(context)])


def _body(command: click.Command) -> Iterator[str]:
    r"""The docstring's paragraphs; one that begins with \b is shown as it is written."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if lines[:1] == ["\b"]:
            yield _code(textwrap.dedent("\n".join(lines[1:])))
        else:
            yield "\n".join(lines)


def _options(context: click.Context) -> str:
    options = (param for param in context.command.params if isinstance(param, click.Option))
    records = (option.get_help_record(context) for option in options)
    rows = [f"| `{names}` | {_cell(text)} |" for names, text in filter(None, records)]
    return "\n".join(["| option | |", "|---|---|", *rows, ""])


def _cell(text: str) -> str:
    """The text of a table's cell. Square brackets are markdown's, `[env: …]` is not a link."""
    return text.replace("|", "\\|").replace("[", "\\[")


def _code(text: str) -> str:
    return f"```\n{text}\n```"


if __name__ == "__main__":
    sys.stdout.write(reference())
