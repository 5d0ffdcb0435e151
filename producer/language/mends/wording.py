"""From what was found to what people read: the one place where a mistake gets its words."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from string import Formatter
from typing import Any

from common.errors import Problem
from producer.language.mends.table import TABLE, Words
from producer.language.mistakes import Finding
from producer.language.yaml import shown


def problem_of(finding: Finding) -> Problem:
    """The path, which is a fact too, the message and the mend of one mistake."""
    row, facts = TABLE[finding.kind], {**finding.facts, "path": finding.path}
    return Problem(finding.path, _said(row.message, facts), _said(row.mend, facts))


def _said(words: Words, facts: Mapping[str, Any]) -> str:
    """A text is a format string of the facts; a function is called with those that it names."""
    if isinstance(words, str):
        return _FORMAT.vformat(words, (), facts)
    return words(**{name: facts[name] for name in signature(words).parameters})


class _Format(Formatter):
    """`str.format` with `{text!q}` for a text as messages quote it: not more than a line."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return shown(value) if conversion == "q" else super().convert_field(value, conversion)


_FORMAT = _Format()
