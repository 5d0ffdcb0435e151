"""The words for a batch's priority: all of high goes first, then normal, then low."""

from __future__ import annotations

from common.dispatch import PRIORITIES
from common.errors import UsageError
from common.text import suggestion


def priority_number(name: str | None) -> int | None:
    """What the ledger sorts by; None stays None. Raises UsageError."""
    if name is None:
        return None
    if name not in PRIORITIES:
        raise UsageError(f"there is no priority {name!r}", hint=suggestion(name, PRIORITIES))
    return PRIORITIES[name]


def priority_name(number: int) -> str:
    """`normal` also for a number that has no name."""
    return next((name for name, known in PRIORITIES.items() if known == number), "normal")
