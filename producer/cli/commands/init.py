"""init: a first batch file."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path

import click

from common.errors import UsageError
from common.store import file_in
from producer.cli import completion
from producer.cli.options import json_command
from producer.cli.output import Output
from producer.language import DEFAULT, first_batch


@click.command()
@click.argument(
    "file",
    metavar="[FILE]",
    default=DEFAULT,
    type=click.Path(),
    shell_complete=completion.batch_files,
)
@json_command
def init(out: Output, file: str) -> None:
    """Write a first batch file to FILE.

    FILE is batch.yaml if none is named, and in FILE if that is a folder; a file that is there is
    never overwritten. The new one runs as it is and shows the language: prompts, seeds,
    settings, variants.

    \b
      gridfarm init
      gridfarm render batch.yaml --model tiny
    """
    path = file_in(file, "batch.yaml")
    try:
        if path != Path(file):
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as new:
            new.write(first_batch(path))
    except FileExistsError:
        raise UsageError(
            f"{path} is there already", hint=f"name another file: gridfarm init {_free(path)}"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", hint="name a file in another folder"
        ) from error
    out.result({"file": str(path)}, _next_steps(path))


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
