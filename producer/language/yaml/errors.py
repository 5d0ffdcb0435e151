"""PyYAML's errors as mistakes of a batch file."""

from __future__ import annotations

import yaml

from producer.language.mistakes import Mistake


def unreadable(error: yaml.YAMLError, source: str) -> Mistake:
    """What PyYAML says, and where: the line as it is written, and the line in which the list,
    mapping or quote began that was being read (`opened`; None where PyYAML names none)."""
    says = getattr(error, "problem", None) or getattr(error, "reason", None) or "is not YAML"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Mistake("yaml-without-a-place", says=says)
    lines = source.splitlines() or [""]
    opening = getattr(error, "context_mark", None)
    return Mistake(
        "yaml",
        says=says,
        line=mark.line + 1,
        column=mark.column + 1,
        text=lines[min(mark.line, len(lines) - 1)],
        context=str(getattr(error, "context", "")),
        opened=opening.line + 1 if opening else None,
    )
