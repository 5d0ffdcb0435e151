"""FILE and the options that make a trial of it: shared by plan, submit and render."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from common.errors import UsageError
from producer.cli import completion
from producer.cli.options import where_option
from producer.farm import as_yaml
from producer.language import BatchFile, default_file, load_batch_file
from producer.progress import Say

Command = TypeVar("Command", bound=Callable[..., Any])

NAME_LENGTH = 40


@dataclass(frozen=True)
class BatchOptions:
    """What a person typed of a batch: a file, or prompts, and what is changed for a trial."""

    file: str | None
    prompts: tuple[str, ...]
    seeds: str | None
    settings: tuple[str, ...]
    where: tuple[str, ...]
    limit: int | None
    model: str | None

    @property
    def trial(self) -> dict[str, Any]:
        """The changes, as `Farm` takes them."""
        return {
            "set": self.settings,
            "where": self.where,
            "limit": self.limit,
            "model": self.model,
        }

    def read(self, say: Say) -> BatchFile:
        """What is written, unchanged; a file that nobody named is said. Raises UsageError for an
        unclear command line, BatchFileError, and InputFileError."""
        if self.prompts:
            return self._of_prompts()
        if self.seeds:
            hint = "or write --set seed=4, --where seed=4"
            raise UsageError("--seeds goes with --prompt", hint=hint)
        if self.file is None:
            file = default_file(Path(), click.get_current_context().command_path)
            say(f"file: {file}")
            return load_batch_file(file, base_dir=file.parent)
        if self.file == "-":
            text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
            return load_batch_file(None, text=text, base_dir=Path.cwd())
        return load_batch_file(Path(self.file), base_dir=Path(self.file).parent)

    def _of_prompts(self) -> BatchFile:
        if self.file:
            raise UsageError("FILE and --prompt are both given", hint="keep one of the two")
        name = " ".join(self.prompts[0].split())[:NAME_LENGTH].strip() or "prompt"
        text = as_yaml({"name": name, "prompts": self.prompts})
        if self.seeds:  # as they are typed: 4 is a number, 1..4 a range, 3,5,8 a list
            seeds = f"[{self.seeds}]" if "," in self.seeds else self.seeds
            text = f'{text[:-1]}, "seeds": {seeds} }}'
        return load_batch_file(Path("the command line"), text=text, base_dir=Path.cwd())


def batch_options(command: Command) -> Command:
    """A command on a batch file; it is called with BatchOptions as `options`."""

    @click.argument("file", metavar="[FILE]", required=False, shell_complete=completion.batch_files)
    @click.option(
        "--prompt",
        "prompts",
        metavar="TEXT",
        multiple=True,
        help="A prompt instead of FILE; repeatable.",
    )
    @click.option("--seeds", metavar="SEEDS", help="With --prompt: one seed, 1..4, or 3,5,8.")
    @click.option(
        "--set",
        "settings",
        metavar="NAME=VALUE",
        multiple=True,
        help="This setting in every cell, whatever the file says; repeatable.",
    )
    @where_option
    @click.option(
        "--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N cells."
    )
    @click.option(
        "--model",
        metavar="MODEL",
        help="This model instead of the file's; `tiny` tries the batch on any machine.",
    )
    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        names = ("file", "prompts", "seeds", "settings", "where", "limit", "model")
        typed = BatchOptions(**{name: options.pop(name) for name in names})
        return command(*arguments, options=typed, **options)

    return wrapped  # type: ignore[return-value]
