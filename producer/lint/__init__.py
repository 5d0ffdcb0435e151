"""TODO."""

from __future__ import annotations

from producer.lint.notes import equal_cells, surprises

__all__ = [
    "equal_cells",
    "surprises",
]
