"""Mistakes of a batch file, found and collected: nobody has to mend one to see the next.

Where a mistake is found it is only named: its kind, and the facts that its words are made of.
`mends` holds the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

#: Nobody reads more at once; a file with more is not read to its end.
MAX_FINDINGS = 100

Written = TypeVar("Written")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Finding:
    """One mistake as data. `kind` is a row of `mends.TABLE`; `facts` are what that row words it
    with: the `node` as it is written, the names or bounds it was held against. `path` is dotted
    and begins where the reader stood, once collected at the top of the file."""

    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""

    def under(self, path: str) -> Finding:
        return replace(self, path=".".join(filter(None, (path, self.path))))


class Mistake(Exception):
    """What is written cannot be read: one Finding or several."""

    def __init__(self, kind: str, node: object = None, *, path: str = "", **facts: Any) -> None:
        super().__init__(kind)
        if node is not None:
            facts["node"] = node
        self.findings = [Finding(kind, facts, path)]

    @classmethod
    def combined(cls, findings: Iterable[Finding]) -> Mistake:
        several = [*findings]
        mistake = cls(several[0].kind)
        mistake.findings = several
        return mistake


class EnoughMistakes(Exception):
    """There are MAX_FINDINGS."""


@contextmanager
def collecting(findings: list[Finding], path: str = "") -> Iterator[None]:
    """Keep what a Mistake raised inside has found, with `path` in front, and go on behind the
    block.

    Raises EnoughMistakes.
    """
    try:
        yield
    except Mistake as mistake:
        findings += [finding.under(path) for finding in mistake.findings]
        if len(findings) >= MAX_FINDINGS:
            raise EnoughMistakes from None


def read_each(
    written: Mapping[str, Written], read: Callable[[str, Written], Value]
) -> dict[str, Value]:
    """Every entry read; raises one Mistake with the findings of all."""
    findings: list[Finding] = []
    values: dict[str, Value] = {}
    with suppress(EnoughMistakes):
        for name, node in written.items():
            with collecting(findings, name):
                values[name] = read(name, node)
    if findings:
        raise Mistake.combined(findings)
    return values
