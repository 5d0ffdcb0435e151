"""TODO."""

from __future__ import annotations

from producer.language.yaml.tree import (
    MAX_BYTES,
    NULL,
    Entries,
    Items,
    Node,
    Scalar,
    plain,
    read_yaml,
    shown,
    to_json,
    unprintable,
)

__all__ = [
    "MAX_BYTES",
    "NULL",
    "Entries",
    "Items",
    "Node",
    "Scalar",
    "plain",
    "read_yaml",
    "shown",
    "to_json",
    "unprintable",
]
