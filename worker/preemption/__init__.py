"""TODO."""

from __future__ import annotations

from worker.preemption.watcher import CLOUDS, METADATA_URL, Metadata, Notice, Watcher, default_grace

__all__ = [
    "CLOUDS",
    "METADATA_URL",
    "Metadata",
    "Notice",
    "Watcher",
    "default_grace",
]
