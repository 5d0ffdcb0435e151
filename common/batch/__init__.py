"""TODO."""

from __future__ import annotations

from common.batch.document import (
    BATCH_ID,
    DOCUMENT_BYTES,
    MAX_AXES,
    MAX_CELLS,
    MAX_CONDITIONS,
    SCHEMA,
    WHOLE_SETTINGS,
    AnyAxis,
    Axis,
    Batch,
    Layer,
    RangeAxis,
    Value,
    slug,
)
from common.batch.filter import Entry
from common.batch.matrix import DAMAGED, ENUMERATE_UP_TO, NOT_OURS, Cell, Matrix
from common.batch.normalise import LORA, PROMPTS, REFINER, WORD, complete
from common.batch.seeds import is_drawn, numbered_seed
from common.batch.spans import Spans, labels_of, spans_of
from common.batch.templates import MAX_FILLED, WORD_NAME, fill, names_in

__all__ = [
    "BATCH_ID",
    "DAMAGED",
    "DOCUMENT_BYTES",
    "ENUMERATE_UP_TO",
    "LORA",
    "MAX_AXES",
    "MAX_CELLS",
    "MAX_CONDITIONS",
    "MAX_FILLED",
    "NOT_OURS",
    "PROMPTS",
    "REFINER",
    "SCHEMA",
    "WHOLE_SETTINGS",
    "WORD",
    "WORD_NAME",
    "AnyAxis",
    "Axis",
    "Batch",
    "Cell",
    "Entry",
    "Layer",
    "Matrix",
    "RangeAxis",
    "Spans",
    "Value",
    "complete",
    "fill",
    "is_drawn",
    "labels_of",
    "names_in",
    "numbered_seed",
    "slug",
    "spans_of",
]
