"""The file or folder that a mistyped path probably meant."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import islice
from pathlib import Path, PurePath

from common.text.suggest import COMPARED, closest


def near_path(path: Path, endings: Collection[str] = ()) -> Path | None:
    """What lies beside the first part of `path` that is not there, and is called almost so: the
    whole path with that part as it should be. `endings` are those that a file may have. None where
    nothing is near, or where the whole path is not there either."""
    try:
        parent, name, rest = _where_it_ends(path)
        names = _names(parent)
    except (OSError, ValueError):
        return None
    if not rest and endings:
        names = [n for n in names if n.lower().endswith(tuple(endings)) or (parent / n).is_dir()]
    near = _nearest(name, [n for n in names if n != name])
    meant = parent.joinpath(near, *rest) if near else None
    return meant if meant and meant.exists() else None


def mean_path(path: Path, endings: Collection[str] = ()) -> str:
    """A hint, `did you mean 'wolves.yaml'?`; "" where nothing is near."""
    near = near_path(path, endings)
    return f"did you mean {str(near)!r}?" if near else ""


def _where_it_ends(path: Path) -> tuple[Path, str, tuple[str, ...]]:
    """(the last folder that is there, the first part that is not, what follows that)."""
    rest: tuple[str, ...] = ()
    while path.parent != path and not path.parent.is_dir():
        rest = (path.name, *rest)
        path = path.parent
    return path.parent, path.name, rest


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in islice(entries, COMPARED))


def _nearest(name: str, names: list[str]) -> str | None:
    """By its stem, since equal endings make all names alike; of two, that with the ending."""
    ending = PurePath(name).suffix.lower()
    names = sorted(names, key=lambda other: PurePath(other).suffix.lower() == ending)
    by_stem = {PurePath(other).stem: other for other in names}
    close = closest(PurePath(name).stem, by_stem)
    return by_stem[close] if close else None
