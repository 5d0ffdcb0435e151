"""What a batch file can set, and how each value is written.

In reading order: `catalogue` (one row a setting), `values` (how a value is written: readers from
the file's tree to plain JSON), `numbers` (their bounds), `training_sizes` (SDXL's own), `labels`
(a value as text).
"""

from __future__ import annotations

from producer.language.settings.catalogue import (
    DEFAULTS,
    PROMPTS,
    SETTINGS,
    SIZES,
    WORD,
    Setting,
    find_setting,
)
from producer.language.settings.labels import as_text
from producer.language.settings.numbers import Bounds, read_whole
from producer.language.settings.training_sizes import note_on_size
from producer.language.settings.values import (
    MAX_SEED,
    TEXT,
    Scope,
    as_plain_text,
    entries,
    expanded,
    mapping,
    source,
)

__all__ = [
    "DEFAULTS",
    "MAX_SEED",
    "PROMPTS",
    "SETTINGS",
    "SIZES",
    "TEXT",
    "WORD",
    "Bounds",
    "Scope",
    "Setting",
    "as_plain_text",
    "as_text",
    "entries",
    "expanded",
    "find_setting",
    "mapping",
    "note_on_size",
    "read_whole",
    "source",
]
