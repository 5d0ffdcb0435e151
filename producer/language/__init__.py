"""TODO."""

from __future__ import annotations

from producer.language.conditions import Conditions
from producer.language.json_schema import as_text, batch_schema
from producer.language.printer import printed
from producer.language.reader import BatchFile, load_batch_file
from producer.language.references import with_references
from producer.language.starter_file import first_batch
from producer.language.words import words_of

__all__ = [
    "BatchFile",
    "Conditions",
    "as_text",
    "batch_schema",
    "first_batch",
    "load_batch_file",
    "printed",
    "with_references",
    "words_of",
]
