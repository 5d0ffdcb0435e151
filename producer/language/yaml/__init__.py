"""YAML as batch files mean it: a tree of what is written, each text kept as it stands.

In reading order: `nodes` (what the tree is made of), `scalars` (which texts are numbers,
booleans or null), `source` (the file's text), `errors` (what PyYAML refuses), `tree` (PyYAML's
events to nodes). PyYAML is used here and to print a batch.
"""

from __future__ import annotations

from producer.language.yaml.nodes import (
    NULL,
    Entries,
    Items,
    Node,
    Scalar,
    is_null,
    shown,
    to_json,
)
from producer.language.yaml.scalars import plain
from producer.language.yaml.source import MAX_BYTES, unprintable
from producer.language.yaml.tree import read_yaml

__all__ = [
    "MAX_BYTES",
    "NULL",
    "Entries",
    "Items",
    "Node",
    "Scalar",
    "is_null",
    "plain",
    "read_yaml",
    "shown",
    "to_json",
    "unprintable",
]
