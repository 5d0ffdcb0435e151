"""Whether a folder is a store already: only an order makes one, and a mistyped name never."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from common.errors import StoreError
from common.store import FolderStore, Store, disk_errors, object_names
from common.text import mean_path

#: What lies in a folder without anybody's doing.
_OF_THE_DISK = {"lost+found"}
_SHOWN = 3
#: So many folders in one that is no store are looked at for the store that may be meant.
_LOOKED_INTO = 100
_MADE = "gridfarm render makes a new store, in a folder that is empty or not there yet"


def check_existing(store: Store) -> None:
    """Refuse a folder that is not there, or that has other things in it than a store's: whoever
    only reads would take it for a store without batches. An empty one may become a store, and a
    bucket that is not there says so by itself. Raises StoreError."""
    if not isinstance(store, FolderStore):
        return
    root = store.root
    if not root.exists():
        raise StoreError(f"there is no folder {root}", hint=mean_path(root) or _MADE)
    with disk_errors(f"{root}: cannot read it"):
        names = _entries(root)
    if names and not names & object_names.AT_THE_TOP:
        some = ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise StoreError(f"the folder {root} is no store: it has {some}", hint=_in_it(root, names))


def _in_it(root: Path, names: set[str]) -> str:
    """A store that is a folder in this one, as `gridfarm render` makes them."""
    for name in islice(sorted(names), _LOOKED_INTO):
        inner = root / name
        try:
            if inner.is_dir() and _entries(inner) & object_names.AT_THE_TOP:
                return f"did you mean {str(inner)!r}?"
        except OSError:
            continue
    return _MADE


def _entries(folder: Path) -> set[str]:
    """What can be seen there."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    return {name for name in names if not name.startswith(".")} - _OF_THE_DISK
