"""What a part of `make chaos` has measured, beside what it must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` as it is printed, with its unit; `must` likewise, "" where nothing is asked."""

    what: str
    value: str
    must: str = ""
    met: bool = True

    def __str__(self) -> str:
        verdict = ("ok" if self.met else "SHORT") if self.must else ""
        return f"{self.what:<58} {self.value:>22}   {self.must:<26} {verdict}".rstrip()
