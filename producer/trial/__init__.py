"""TODO."""

from __future__ import annotations

from producer.trial.limit import limited
from producer.trial.other_model import with_model
from producer.trial.set_option import with_settings
from producer.trial.where import find_values, only_where, parse_where

__all__ = [
    "find_values",
    "limited",
    "only_where",
    "parse_where",
    "with_model",
    "with_settings",
]
