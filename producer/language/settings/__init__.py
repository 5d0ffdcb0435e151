"""What a batch file can set: `catalogue` (one row a setting), `values` (how a value is written),
`mistakes` (how what is wrong is collected), `labels` (a value as text), `training_sizes`.
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
from producer.language.settings.mistakes import (
    MAX_PROBLEMS,
    EnoughMistakes,
    Mistake,
    noting,
    read_each,
)
from producer.language.settings.training_sizes import note_on_size
from producer.language.settings.values import (
    MAX_SEED,
    TEXT,
    Scope,
    as_plain_text,
    is_null,
    mapping,
    read_whole,
    source,
)

__all__ = [
    "DEFAULTS",
    "MAX_PROBLEMS",
    "MAX_SEED",
    "PROMPTS",
    "SETTINGS",
    "SIZES",
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
