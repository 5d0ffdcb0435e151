"""The person's side of gridfarm: batch files in; orders, pictures and sheets out.

    from producer import Farm

    language    what a batch file may say          trial, lint    tried smaller; looked through
    submission  planned, pinned, ordered           batches        steered, listed, removed
    pictures    looked up, fetched, explained      sheet          drawn as labelled grids
    catalogue   which batches there are            removal        batches go while others come
    local       this machine as a farm             farm           all of it, for scripts
    cli         `gridfarm`, a thin skin of Farm    doctor         what works here

`progress` and `wording` are how people are told, `listeners` who could take what waits; `guardian`
ends the broker of a render.

A name is loaded when it is asked for, so that `gridfarm --help` pays for click alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.errors import GridfarmError
    from producer.farm import Farm

__all__ = ["Farm", "GridfarmError"]

_HOMES = {"Farm": "producer.farm", "GridfarmError": "common.errors"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
