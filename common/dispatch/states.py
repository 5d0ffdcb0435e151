"""What a batch may be doing, and how much it matters."""

from __future__ import annotations

from typing import Literal

State = Literal[
    "rendering",  # its cells are sent to the workers
    "paused",  # nothing more is sent; what is running is finished
    "cancelled",  # nothing more is sent, and what is running stops
    "done",  # every job of it is stored or has failed
]
UNFINISHED: tuple[State, ...] = ("rendering", "paused")

#: A queue is fed from the batches of the highest number first.
PRIORITIES = {"low": 0, "normal": 1, "high": 2}
