"""What a command line changes of a batch for a trial: a batch file in, another one out.

In the order in which they are applied: `set_option` (`--set`), `other_model` (`--model`), `where`
(`--where`, and what it shares: a batch with fewer values), `limit` (`--limit`).
"""

from __future__ import annotations

from producer.trial.limit import limited
from producer.trial.other_model import with_model
from producer.trial.set_option import with_settings
from producer.trial.where import only_where

__all__ = [
    "limited",
    "only_where",
    "with_model",
    "with_settings",
]
