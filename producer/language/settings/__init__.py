"""TODO."""

from __future__ import annotations

from producer.language.settings.training_sizes import note_on_size
from producer.language.settings.values import (
    DEFAULTS,
    MAX_PROBLEMS,
    MAX_SEED,
    SETTINGS,
    TEXT,
    WORD,
    EnoughMistakes,
    Mistake,
    Scope,
    Setting,
    as_plain_text,
    as_text,
    find_setting,
    is_null,
    mapping,
    noting,
    read_each,
    read_whole,
    source,
)

__all__ = [
    "DEFAULTS",
    "MAX_PROBLEMS",
    "MAX_SEED",
    "SETTINGS",
    "TEXT",
    "WORD",
    "EnoughMistakes",
    "Mistake",
    "Scope",
    "Setting",
    "as_plain_text",
    "as_text",
    "find_setting",
    "is_null",
    "mapping",
    "note_on_size",
    "noting",
    "read_each",
    "read_whole",
    "source",
]
