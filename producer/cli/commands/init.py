"""init: a first batch file."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path

import click

from common.errors import UsageError
from producer.cli import completion
from producer.cli.options import json_command
from producer.cli.output import Output
from producer.language import DEFAULT, first_batch


@click.command()
@click.argument(
    "file",
    metavar="[FILE]",
    default=DEFAULT,
    type=click.Path(path_type=Path),
    shell_complete=completion.batch_files,
)
@json_command
def init(out: Output, file: Path) -> None:
    """Write a first batch file to FILE.

    FILE is batch.yaml if none is named; a file that is there is never overwritten. The new
    one runs as it is and shows the language: prompts, seeds, settings, variants.

    \b
      gridfarm init
      gridfarm render batch.yaml --model tiny
    """
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(first_batch(file))
    except FileExistsError:
        raise UsageError(
            f"{file} is there already", hint=f"name another file: gridfarm init {_free(file)}"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror or error}", hint="name a file in another folder"
        ) from error
    out.result({"file": str(file)}, _next_steps(file))


def _free(file: Path) -> str:
    """`batch-2.yaml`, or the next number that is not taken."""
    numbered = (file.with_stem(f"{file.stem}-{number}") for number in count(2))
    return shlex.quote(str(next(path for path in numbered if not path.exists())))


def _next_steps(file: Path) -> str:
    quoted = shlex.quote(str(file))
    return f"""{file} is a batch of 18 pictures; change it to taste. Next:

  gridfarm plan {quoted}
  gridfarm render {quoted} --model tiny    # anywhere, in a minute
  gridfarm render {quoted}                 # on this machine's GPU"""
