"""What is wrong with stored pictures, as text: which cells, and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from producer.pictures import Flaw
from producer.wording import counted

SHOWN_FLAWS = 10
LABEL_WIDTH = 40
WIDTH = 90


def flaw_lines(flaws: Sequence[Flaw], total: int) -> list[str]:
    """The first of `total` flaws, each with its cell's number and labels."""
    lines = [line for flaw in flaws[:SHOWN_FLAWS] for line in _lines(flaw)]
    more = total - min(len(flaws), SHOWN_FLAWS)
    return [*lines, f"  … {more:,} more; --json has them"] if more else lines


def mending(batch_id: str, *, again: int, unreadable: int) -> list[str]:
    """What draws `again` pictures again, and what does not mend those that cannot be read."""
    lines = [f"gridfarm retry {batch_id} draws {_them(again)} again"] if again else []
    if unreadable:
        pictures = counted(unreadable, "picture")
        lines.append(f"{pictures} will come when the store hands {_them(unreadable)} out")
    return lines


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _lines(flaw: Flaw) -> list[str]:
    labels = " · ".join(
        textwrap.shorten(label, LABEL_WIDTH, placeholder=" …") for label in flaw.labels.values()
    )
    indent = {"initial_indent": "    ", "subsequent_indent": "    "}
    reason = textwrap.wrap(flaw.reason, WIDTH, **indent)  # type: ignore[arg-type]
    return [f"  #{flaw.i} {labels}".rstrip(), *reason]
