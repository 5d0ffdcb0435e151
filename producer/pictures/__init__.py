"""What was rendered: looked up, compared, fetched, explained. Pillow is loaded with the first
picture.

    examine         whether what is stored for a cell is its picture, whole
    flaws           what was found wrong, noted in the store until it is mended
    verify          are all of a batch's pictures what they should be
    outcomes        a cell's picture, why it failed, or nothing yet
    fingerprints    pictures that another kind of machine rendered
    selection       the axes' values and the cells that a person keeps of a batch
    stored_picture  pictures one after the other, each fetched when it is looked at
    file_names      readable, safe names made of labels
    fetch           pictures as files
    recipe          how a picture or a batch was made
    sheet_recipe    how a sheet was drawn, as its PNG carries it
"""

from __future__ import annotations

from producer.pictures.examine import Fault, Flaw
from producer.pictures.fetch import FetchReport, fetch_pictures
from producer.pictures.file_names import distinct_names
from producer.pictures.fingerprints import FingerprintGroup, odd_fingerprints
from producer.pictures.flaws import (
    TakenAway,
    forget_flaws,
    read_flaws,
    standing_flaws,
    take_damaged_away,
)
from producer.pictures.outcomes import (
    Failed,
    Lookup,
    Outcome,
    Picture,
    load_outcomes,
    shown_size,
    store_lookup,
)
from producer.pictures.recipe import BatchRecipe, Recipe
from producer.pictures.selection import (
    ChosenAxis,
    Where,
    by_axis,
    choose,
    chosen_cells,
    known_axis,
    offset_of,
)
from producer.pictures.sheet_recipe import KEYWORD, SheetRecipe
from producer.pictures.stored_picture import StoredPicture, stored_pictures
from producer.pictures.verify import VerifyReport, verify_pictures

__all__ = [
    "KEYWORD",
    "BatchRecipe",
    "ChosenAxis",
    "Failed",
    "Fault",
    "FetchReport",
    "FingerprintGroup",
    "Flaw",
    "Lookup",
    "Outcome",
    "Picture",
    "Recipe",
    "SheetRecipe",
    "StoredPicture",
    "TakenAway",
    "VerifyReport",
    "Where",
    "by_axis",
    "choose",
    "chosen_cells",
    "distinct_names",
    "fetch_pictures",
    "forget_flaws",
    "known_axis",
    "load_outcomes",
    "odd_fingerprints",
    "offset_of",
    "read_flaws",
    "shown_size",
    "standing_flaws",
    "store_lookup",
    "stored_pictures",
    "take_damaged_away",
    "verify_pictures",
]
