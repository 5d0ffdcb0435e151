"""TODO."""

from __future__ import annotations

from worker.engine.pipelines import quieten
from worker.engine.renderer import Renderer

__all__ = [
    "Renderer",
    "quieten",
]
