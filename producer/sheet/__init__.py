"""TODO."""

from __future__ import annotations

from producer.sheet.sheets import SheetTooLarge, make_sheets, save, store_lookup

__all__ = [
    "SheetTooLarge",
    "make_sheets",
    "save",
    "store_lookup",
]
