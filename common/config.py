"""Where the farm's servers and this machine's cache are: one frozen object.

Each value comes from the first that has it: a flag, the environment (`GRIDFARM_STORE`),
`gridfarm.toml` in the current folder or one above (`store = "…"`), the default. A relative folder
in that file is one beside it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from common.errors import UsageError
from common.text import closest

FILE = "gridfarm.toml"
#: What may be meant as a URL, rightly written or not, stays as it is for who opens it.
_PERHAPS_A_URL = re.compile(
    r"[~\"']|(?:s3[an]?|file|gs|az|hf|https?|rediss?):|[^/]*:[/\d]|s3[an]?//", re.IGNORECASE
)


@dataclass(frozen=True)
class FarmConfig:
    """`broker` is a redis:// or rediss:// URL, `store` is s3://bucket/prefix or a folder,
    `cache` the folder for downloaded assets and the tiny model. The broker's password is in none
    of its texts."""

    broker: str = field(default="", repr=False)
    store: str = ""
    cache: str = "~/.cache/gridfarm"

    @property
    def cache_dir(self) -> Path:
        return Path(self.cache).expanduser()

    def need_broker(self) -> str:
        return self._need("broker", "redis://host:6379/0")

    def need_store(self) -> str:
        return self._need("store", "s3://bucket/prefix, or a folder that all workers see")

    def _need(self, name: str, example: str) -> str:
        value: str = getattr(self, name)
        if not value:
            raise UsageError(
                f"no {name} is configured",
                hint=f"set GRIDFARM_{name.upper()} ({example}), pass --{name}, "
                f"or try everything on this machine with `gridfarm render FILE`",
            )
        return value


def load_config(
    flags: Mapping[str, str | os.PathLike[str] | None], *, folder: Path | None = None
) -> FarmConfig:
    """Raises UsageError for a `gridfarm.toml` that cannot be read or has unknown names, and for a
    variable whose name is nearly one of these."""
    names = [field.name for field in fields(FarmConfig)]
    _check_variables(names)
    values = _from_file(folder or Path.cwd(), names)
    values |= {n: v for n in names if (v := os.environ.get(_variable(n)))}
    values |= {n: os.fspath(given) for n in names if (given := flags.get(n))}
    return replace(FarmConfig(), **values)


def _variable(name: str) -> str:
    return f"GRIDFARM_{name.upper()}"


def _check_variables(names: list[str]) -> None:
    """A misspelt one would go unnoticed, and the work to another store than the one it names."""
    for variable in sorted(os.environ):
        prefix, _, name = variable.partition("_")
        meant = closest(name, names) if prefix == "GRIDFARM" and name.lower() not in names else None
        if meant and _variable(meant) not in os.environ:
            raise UsageError(
                f"{variable} is set, and gridfarm reads no such variable",
                hint=f"did you mean {_variable(meant)}? Otherwise: unset {variable}",
            )


def _from_file(folder: Path, names: list[str]) -> dict[str, str]:
    for parent in (folder, *folder.parents):
        if (path := parent / FILE).is_file():
            return _read(path, names)
    return {}


def _read(path: Path, names: list[str]) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", hint='it is TOML: store = "s3://…"') from error
    for name, value in table.items():
        if name not in names or not isinstance(value, str):
            raise UsageError(
                f"{path}: {name!r} is not a setting of gridfarm, or its value is no text",
                hint=f"the settings are {', '.join(names)}, each a text in quotes",
            )
    return {name: _from_there(path, name, value) for name, value in table.items()}


def _from_there(file: Path, name: str, value: str) -> str:
    """A relative folder means the same wherever below `file` a command is given."""
    value = value.strip()
    if name == "broker" or _PERHAPS_A_URL.match(value):
        return value
    return str(file.parent.absolute() / value)
