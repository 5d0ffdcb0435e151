"""The batch file's language: text in, a validated batch out, or all of its mistakes at once.

In reading order: `mistakes` (what was found, as data), `yaml/` (the file's tree), `settings/`
(what each value can be), `axes/` (the one rule of the language), `conditions`, `words`,
`references` (models and LoRAs that are used), `mends/` (the words of every mistake),
`whole_file_checks`, `reader` (a file to a batch), `selection` (values as a command line names
them), `printer` (a batch to a file), `json_schema` (the language for editors), `starter_file`,
`default_file` (the one that is meant where none is named).
"""

from __future__ import annotations

from producer.language.axes import as_it_stands, left_alone, short_labels
from producer.language.default_file import DEFAULT, default_file
from producer.language.json_schema import as_text, batch_schema
from producer.language.mends import problem_of
from producer.language.mistakes import Finding, Mistake
from producer.language.printer import printed
from producer.language.reader import ENDINGS, BatchFile, load_batch_file
from producer.language.references import with_references
from producer.language.selection import (
    find_axis,
    find_values,
    find_where,
    parse_where,
    written_where,
)
from producer.language.starter_file import first_batch

__all__ = [
    "DEFAULT",
    "ENDINGS",
    "BatchFile",
    "Finding",
    "Mistake",
    "as_it_stands",
    "as_text",
    "batch_schema",
    "default_file",
    "find_axis",
    "find_values",
    "find_where",
    "first_batch",
    "left_alone",
    "load_batch_file",
    "parse_where",
    "printed",
    "problem_of",
    "short_labels",
    "with_references",
    "written_where",
]
