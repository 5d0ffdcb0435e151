"""URLs as they may be shown: in messages, in logs, in what a worker says of itself."""

from __future__ import annotations

import re


def without_login(text: str) -> str:
    """`text` with `user:password@` removed from the URLs in it, of which there may be several."""
    return re.sub(r"(?<=//)[^/\s\"']*@", "", text)


def without_password(url: str) -> str:
    """One URL without its secrets and options: `redis://:secret@host/0?x=y` → `redis://host/0`.

    Everything up to the last @ goes, since a password may have a slash that should have been
    escaped.
    """
    shown = re.sub(r"(?<=://).*@", "", url, flags=re.DOTALL)
    return re.split(r"[?#]", shown, maxsplit=1)[0]
