"""TODO."""

from __future__ import annotations

from worker.process.main import ProcessOptions, main

__all__ = [
    "ProcessOptions",
    "main",
]
