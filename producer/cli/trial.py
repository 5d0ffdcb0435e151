"""FILE and the options that make a trial of it: shared by plan, submit and render."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from common.errors import UsageError
from producer.cli import complete
from producer.cli.options import Farm, where_option

if TYPE_CHECKING:
    from producer.language import BatchFile

Command = TypeVar("Command", bound=Callable[..., Any])

NAME_LENGTH = 40


@dataclass(frozen=True)
class Trial:
    """What a person typed of a batch: a file, or prompts, and what is changed for a trial."""

    file: str | None
    prompts: tuple[str, ...]
    seeds: str | None
    settings: tuple[str, ...]
    where: tuple[str, ...]
    limit: int | None
    model: str | None


def trial_command(command: Command) -> Command:
    """A command on a batch file; it is called with a Trial as `trial`."""

    @click.argument("file", metavar="[FILE]", required=False, shell_complete=complete.batch_files)
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
        trial = Trial(**{name: options.pop(name) for name in names})
        return command(*arguments, trial=trial, **options)

    return wrapped  # type: ignore[return-value]  # fmt: skip


def read_trial(farm: Farm, trial: Trial) -> BatchFile:
    """The batch that a person means, its notes said aloud. Raises what is wrong with it."""
    from producer.lint import notes_on_batch
    from producer.trial import limited, only_where, with_model, with_settings

    say = farm.out.say
    loaded = with_settings(_written(trial), trial.settings, say)
    if trial.model:
        loaded = with_model(loaded, trial.model, say, farm.settings.cache_dir)
    batch = only_where(loaded.batch, trial.where) if trial.where else loaded.batch
    if trial.limit:
        batch = limited(batch, trial.limit)
    loaded = replace(loaded, batch=batch)
    for note in (*loaded.notes, *notes_on_batch(loaded)):
        say(f"note: {note}")
    return loaded


def _written(trial: Trial) -> BatchFile:
    from producer.language import load_batch_file

    if trial.prompts:
        return _of_prompts(trial)
    if trial.seeds:
        raise UsageError("--seeds goes with --prompt", hint="or write --set seed=4, --where seed=4")
    if trial.file is None:
        raise UsageError(
            "FILE is missing",
            hint="name a batch file, - for standard input, or write --prompt; "
            "gridfarm init writes a first one",
        )
    if trial.file == "-":
        data = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return load_batch_file(None, text=data, base_dir=Path.cwd())
    return load_batch_file(Path(trial.file), base_dir=Path(trial.file).parent)


def _of_prompts(trial: Trial) -> BatchFile:
    """JSON is YAML too, and quotes whatever a prompt may hold."""
    from producer.language import load_batch_file

    if trial.file:
        raise UsageError("FILE and --prompt are both given", hint="keep one of the two")
    name = " ".join(trial.prompts[0].split())[:NAME_LENGTH].strip() or "prompt"
    document: dict[str, Any] = {"name": name, "prompts": list(trial.prompts)}
    text = json.dumps(document)
    if trial.seeds:
        seeds = f"[{trial.seeds}]" if "," in trial.seeds else trial.seeds
        text = f'{text[:-1]}, "seeds": {seeds} }}'
    return load_batch_file(Path("the command line"), text=text, base_dir=Path.cwd())
