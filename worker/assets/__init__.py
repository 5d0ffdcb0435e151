"""TODO."""

from __future__ import annotations

from worker.assets.cache import Assets
from worker.assets.downloads import Downloads, Stopped
from worker.assets.hub import Part
from worker.assets.tiny_model import build

__all__ = [
    "Assets",
    "Downloads",
    "Part",
    "Stopped",
    "build",
]
