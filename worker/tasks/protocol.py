"""What the tasks of this package and those who run them agree on.

`tasks` and `engine` never import each other: what a task needs of a renderer is said here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from PIL import Image
from pydantic import JsonValue

from common.job import Job

#: Called with the denoising steps that are done and those of the whole job; may raise to end it.
OnStep = Callable[[int, int], None]


class Rendered(Protocol):
    """A picture, and the seconds that each part of making it took."""

    @property
    def image(self) -> Image.Image: ...
    @property
    def timings(self) -> dict[str, float]: ...


class RendersJobs(Protocol):
    """What a task needs of `worker.engine.Renderer`."""

    def fetch(self, job: Job) -> None:
        """Bring what the job needs onto this machine; other jobs may render meanwhile."""

    def prepare(self, job: Job) -> None:
        """Load what the job needs onto the GPU."""

    def render(self, job: Job, on_step: OnStep | None = None) -> Rendered: ...

    def fingerprint(self, job: Job) -> dict[str, JsonValue]:
        """What besides the job decides the picture's bits."""


class ShuttingDown(Exception):
    """The process takes no more work: the message goes back to the queue."""


class CellAborted(Exception):
    """The cell is not wanted here any more: its lease is gone, or the process is ending."""
