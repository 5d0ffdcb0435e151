"""What is wrong with stored pictures, as text: which cells, and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from producer.pictures import Fault, Flaw
from producer.wording import counted

SHOWN_FLAWS = 10
LABEL_WIDTH = 40
WIDTH = 90


def flaw_lines(flaws: Sequence[Flaw], total: int) -> list[str]:
    """The first of `total` flaws, each with its cell's number and labels."""
    lines = [line for flaw in flaws[:SHOWN_FLAWS] for line in _lines(flaw)]
    more = total - min(len(flaws), SHOWN_FLAWS)
    return [*lines, f"  … {more:,} more; --json has them"] if more else lines


def mending(
    batch_id: str, pictures: Mapping[Fault, int], *, noted: bool, on_a_farm: bool = True
) -> list[str]:
    """What draws pictures again, counted by their fault, and what does not mend those that cannot
    be read. Of what is damaged, retry knows only by notes; what is missing it finds itself."""
    missing, damaged = pictures.get("missing", 0), pictures.get("damaged", 0)
    unreadable = pictures.get("unreadable", 0)
    again = missing + (damaged if noted else 0)
    whom = them(again) if noted or not damaged else "what is missing"
    lines = [f"{again_by(batch_id, on_a_farm=on_a_farm)} draws {whom} again"] if again else []
    if unreadable:
        count = counted(unreadable, "picture")
        lines.append(f"{count} will come when the store hands {them(unreadable)} out")
    return lines


def again_by(batch_id: str, *, on_a_farm: bool) -> str:
    """The command that renders again: where no broker is configured, that is no order to a farm."""
    return f"gridfarm retry {batch_id}" if on_a_farm else "the same gridfarm render FILE"


def them(count: int) -> str:
    return "it" if count == 1 else "them"


def _lines(flaw: Flaw) -> list[str]:
    labels = " · ".join(
        textwrap.shorten(label, LABEL_WIDTH, placeholder=" …") for label in flaw.labels.values()
    )
    indent = {"initial_indent": "    ", "subsequent_indent": "    "}
    reason = textwrap.wrap(flaw.reason, WIDTH, **indent)  # type: ignore[arg-type]
    return [f"  #{flaw.i} {labels}".rstrip(), *reason]
