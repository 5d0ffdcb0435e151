"""TODO."""

from __future__ import annotations

from producer.pictures.fetch import fetch
from producer.pictures.file_names import distinct_names
from producer.pictures.outcomes import (
    Failed,
    Lookup,
    Outcome,
    Picture,
    Strangers,
    look,
    shown_size,
    store_lookup,
    strangers,
)

__all__ = [
    "Failed",
    "Lookup",
    "Outcome",
    "Picture",
    "Strangers",
    "distinct_names",
    "fetch",
    "look",
    "shown_size",
    "store_lookup",
    "strangers",
]
