"""A batch's pictures as labelled sheets: what a person compares at one look.

model        what a sheet is made of: table, text styles, layout
arrangement  which axes are rows, which columns, which make further sheets
caption      the words: what a label stands for, what all cells share, what is amiss
typography   fonts that have the glyphs; measuring and wrapping
layout       where every label and every cell lies
paint        a layout and its pictures → one image
sheets       a batch → its sheets
write        sheets → PNG files
"""

from __future__ import annotations

from producer.sheet.sheets import Sheet, SheetTooLarge, make_sheets, sheets_of_batch
from producer.sheet.write import all_rows, one_image, save

__all__ = [
    "Sheet",
    "SheetTooLarge",
    "all_rows",
    "make_sheets",
    "one_image",
    "save",
    "sheets_of_batch",
]
