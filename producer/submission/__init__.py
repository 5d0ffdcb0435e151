"""TODO."""

from __future__ import annotations

from producer.submission.hub import Hub
from producer.submission.resolve import Resolved, resolve, resolve_offline
from producer.submission.submit import Progress, SubmitReport, look_up, stored_keys, submit

__all__ = [
    "Hub",
    "Progress",
    "Resolved",
    "SubmitReport",
    "look_up",
    "resolve",
    "resolve_offline",
    "stored_keys",
    "submit",
]
