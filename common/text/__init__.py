"""TODO."""

from __future__ import annotations

from common.text.escape import escaped
from common.text.suggest import ELSEWHERE, LISTED, closest, meant

__all__ = [
    "ELSEWHERE",
    "LISTED",
    "closest",
    "escaped",
    "meant",
]
