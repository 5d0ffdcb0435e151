"""Who works on a cell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Who renders: a process of its own name on a machine."""

    worker: str
    machine: str
