"""TODO."""

from __future__ import annotations

from producer.pictures import store_lookup
from producer.sheet.sheets import SheetTooLarge, make_sheets, save

__all__ = [
    "SheetTooLarge",
    "make_sheets",
    "save",
    "store_lookup",
]
