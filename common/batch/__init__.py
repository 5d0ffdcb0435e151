"""A frozen batch and its cells: from the document in the store to one picture's Job.

In reading order: `document` (the batch as it is stored, its axes and its id), `matrix` (its
cells, lazy and numbered), `cell_settings` (what a cell is drawn with, and what is known of each
setting), `normalise` (from settings to a Job), `templates` (words in prompts), `seeds` (random
ones that can be had again), `spans` (positions on an axis), `filter` (which cells `exclude` and
`only` keep).
"""

from __future__ import annotations

from common.batch.cell_settings import (
    COLLECTIONS,
    GROUPS,
    TRAITS,
    WHOLE_SETTINGS,
    CellSettings,
)
from common.batch.document import (
    DOCUMENT_BYTES,
    MAX_AXES,
    MAX_CELLS,
    MAX_CONDITIONS,
    SCHEMA,
    AnyAxis,
    Axis,
    Batch,
    Layer,
    RangeAxis,
    Value,
    is_batch_id,
    slug,
)
from common.batch.filter import Entry
from common.batch.matrix import DAMAGED, ENUMERATE_UP_TO, NOT_OURS, Cell, Matrix
from common.batch.normalise import LORA, REFINER, WORD, complete
from common.batch.seeds import is_drawn, numbered_seed
from common.batch.spans import Spans, labels_of, spans_of
from common.batch.templates import MAX_FILLED, WORD_NAME, fill, names_in

__all__ = [
    "COLLECTIONS",
    "DAMAGED",
    "DOCUMENT_BYTES",
    "ENUMERATE_UP_TO",
    "GROUPS",
    "LORA",
    "MAX_AXES",
    "MAX_CELLS",
    "MAX_CONDITIONS",
    "MAX_FILLED",
    "NOT_OURS",
    "REFINER",
    "SCHEMA",
    "TRAITS",
    "WHOLE_SETTINGS",
    "WORD",
    "WORD_NAME",
    "AnyAxis",
    "Axis",
    "Batch",
    "Cell",
    "CellSettings",
    "Entry",
    "Layer",
    "Matrix",
    "RangeAxis",
    "Spans",
    "Value",
    "complete",
    "fill",
    "is_batch_id",
    "is_drawn",
    "labels_of",
    "names_in",
    "numbered_seed",
    "slug",
    "spans_of",
]
