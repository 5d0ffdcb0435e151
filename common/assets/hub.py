"""The Hugging Face hub, as both sides meet it: its errors, its cache, and one question that is
answered, or not, within seconds.

What huggingface_hub downloads with asks again and again, for minutes where there is no network.
So whoever needs the hub looks into the cache first, and then asks once.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.assets.model_files import (
    CONFIG,
    INDEX,
    SETTINGS,
    Index,
    Part,
    files_in,
    folders_of,
    lacking,
    needed_files,
)
from common.errors import HubError
from common.store import FULL
from common.text import without_login

#: Makes the error for a person out of huggingface_hub's and of what that says.
Explain = Callable[[Exception, str], HubError]

_REQUEST_ID = re.compile(r"\s*\(Request ID: [^)]*\)")

#: What a disk says that cannot be written or read.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}

#: For a connection, and for each piece of an answer.
ASK_TIMEOUT_S = 10


@contextmanager
def hub_errors(explain: Explain) -> Iterator[None]:
    """Raise what `explain` makes of anything that huggingface_hub raises inside. The text it is
    given has no login in its URLs and no number that differs each time, and is the error's class
    where that says nothing."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HTTPError, errors.EntryNotFoundError, OSError, ValueError) as error:  # type: ignore[attr-defined]
        text = _REQUEST_ID.sub("", without_login(str(error)))
        raise explain(error, text or type(error).__name__) from error


def disk_trouble(error: Exception) -> str:
    """What this machine's disk has against the hub's cache, "" where it is not the disk. A refused
    connection may have the same number, and names no file."""
    if not isinstance(error, OSError):
        return ""
    of_a_file = error.errno in _REFUSED and error.filename
    return error.strerror or "" if error.errno in FULL or of_a_file else ""


def hub_cache() -> Path:
    """Where what comes from the hub is kept: in HF_HOME, unless HF_HUB_CACHE says otherwise."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def ask_hub(hub_id: str, revision: str = "", *, timeout_s: float = ASK_TIMEOUT_S) -> Any:
    """What the hub says of a repository: its commit (`sha`) and its files (`siblings`). Asked
    once. Raises what huggingface_hub raises, which is for `hub_errors`."""
    from huggingface_hub import HfApi

    return HfApi().model_info(hub_id, revision=revision or None, timeout=timeout_s)


def hub_is_off() -> bool:
    """Whether HF_HUB_OFFLINE is set, so that the hub is not asked."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@dataclass(frozen=True)
class Snapshot:
    """A repository at a commit in this machine's cache of the hub. `files` are all that the hub
    has, with their sizes in bytes, or, where its list is not here (`listed`), those in `folder`."""

    folder: Path
    files: dict[str, int]
    listed: bool

    @classmethod
    def at(cls, folder: Path, hub_id: str, revision: str) -> Snapshot:
        """In `folder`, with the list that is in the cache since the hub was asked, if it was."""
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        try:
            tree = get_cached_repo_tree(hub_id, revision=revision)
        except CachedRepoTreeNotFoundError:
            return cls(folder, dict.fromkeys(files_in(folder), 0), listed=False)
        return cls(folder, {file.path: file.size for file in tree}, listed=True)

    @property
    def index(self) -> Index:
        """What its model_index.json says. Raises OSError and ValueError."""
        index = json.loads((self.folder / INDEX).read_bytes())
        if not isinstance(index, dict):
            raise ValueError(f"its {INDEX} is no JSON object")
        return index

    def has(self, part: Part, dtype: str) -> bool:
        """Whether all is here that a load as `part` in `dtype` reads."""
        try:
            index = {} if part == "vae" else self.index
        except (OSError, ValueError):
            return False
        if lacking(part, self.files, index, dtype):
            return False
        return self._are_here(needed_files(self.files, folders_of(part, self.files, index), dtype))

    def has_settings(self) -> bool:
        """Whether all settings and tokenizers are here, which a checkpoint in one file needs."""
        settings = [file for file in self.files if file.endswith(SETTINGS)]
        return self._are_here([INDEX, f"unet/{CONFIG}", *settings])

    def _are_here(self, files: list[str]) -> bool:
        return all((self.folder / file).exists() for file in files)


def cached_snapshot(hub_id: str, revision: str) -> Snapshot | None:
    """What the cache has of a repository at a commit; None where it never saw that. Asks nobody."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            hub_id, revision=revision, allow_patterns=[INDEX, CONFIG], local_files_only=True
        )
    except (OSError, ValueError):
        return None
    return Snapshot.at(Path(folder), hub_id, revision)
