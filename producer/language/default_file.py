"""The batch file that is meant where a command is given none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common.errors import UsageError
from producer.language.reader import ENDINGS

DEFAULT = "batch.yaml"

#: Of so many files so many bytes are read, to tell a batch file from others of its ending.
MOST_FILES, MOST_BYTES = 100, 100_000
NAMED = 5

#: Keys that no other program's files have at their top.
_KEYS = re.compile(rb"^(prompts|variants|lora_files)[ \t]*:", re.MULTILINE)


def default_file(folder: Path, command: str) -> Path:
    """`batch.yaml` of `folder`. Raises UsageError that says what to do with `command`, such as
    `gridfarm plan`, where there is none."""
    if (folder / DEFAULT).is_file():
        return folder / DEFAULT
    names = [str(path) for path in islice(_batch_files(folder), NAMED)]
    if len(names) == 1:
        hint = f"did you mean: {command} {shlex.quote(names[0])}"
    elif names:
        hint = f"name one, such as {', '.join(names)}"
    else:
        hint = "gridfarm init writes a first one; or write --prompt TEXT"
    raise UsageError(f"no FILE is named, and there is no {DEFAULT} here", hint=hint)


def _batch_files(folder: Path) -> Iterator[Path]:
    """Those that look like batch files, by their names."""
    found = (path for path in sorted(folder.iterdir()) if path.name.endswith(ENDINGS))
    for path in islice(found, MOST_FILES):
        try:
            if path.is_file():
                with path.open("rb") as file:
                    if _KEYS.search(file.read(MOST_BYTES)):
                        yield path
        except OSError:
            continue
