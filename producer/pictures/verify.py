"""Are a batch's pictures what they should be? Each is read, or only looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from common.batch import Cell
from common.store import Store
from producer.pictures.examine import Flaw
from producer.pictures.flaws import Inspector
from producer.progress import ProgressCallback, Say, say_nothing, show_no_progress

READ_THREADS = 8
#: So many cells are handed to the threads at a time, so that no list of a million is made.
AT_ONCE = 256
#: So many flaws are listed; all of them are counted and noted.
MOST_FLAWS = 1_000


@dataclass(frozen=True)
class VerifyReport:
    """The pictures of a batch that should be stored: how many are there, `whole`, and how many
    are missing, damaged or cannot be read, the first MOST_FLAWS of them in `flaws`.

    `whole` and `damaged` are None where nobody has read them. `noted`: the store took a note of
    each flaw, by which `retry` knows what is damaged."""

    batch: str
    stored: int
    missing: int
    whole: int | None
    damaged: int | None
    unreadable: int
    flaws: tuple[Flaw, ...] = ()
    noted: bool = True

    @property
    def due(self) -> int:
        """How many should be stored."""
        return self.stored + self.missing

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "stored": self.stored,
            "whole": self.whole,
            "missing": self.missing,
            "damaged": self.damaged,
            "unreadable": self.unreadable,
            "noted": self.noted,
            "flaws": [flaw.to_json() for flaw in self.flaws],
        }


def verify_pictures(
    batch_id: str,
    cells: Iterable[Cell],
    count: int,
    store: Store,
    say: Say = say_nothing,
    progress: ProgressCallback = show_no_progress,
    *,
    quick: bool = False,
) -> VerifyReport:
    """Read the pictures of these `count` cells, which should be stored; with `quick` only look
    whether they are there. What is missing or damaged is noted in the store for `retry`; where
    that takes no note, `say` is told. Raises StoreError where the store is the trouble."""
    inspector = Inspector(batch_id, store)

    def flaw_in(cell: Cell) -> Flaw | None:
        found = inspector.look(cell) if quick else inspector.read(cell)
        return found if isinstance(found, Flaw) else None

    doing = "looking for pictures" if quick else "reading pictures"
    faults: Counter[str] = Counter()
    flaws: list[Flaw] = []
    waiting, seen = iter(cells), 0
    with ThreadPoolExecutor(READ_THREADS) as pool:
        while chunk := list(islice(waiting, AT_ONCE)):
            for flaw in pool.map(flaw_in, chunk):
                seen += 1
                progress(doing, seen, count)
                if flaw:
                    faults[flaw.fault] += 1
                    flaws += [flaw] if len(flaws) < MOST_FLAWS else []
    inspector.tell(say)
    report = _report(batch_id, seen, faults, tuple(flaws), quick=quick)
    return replace(report, noted=not inspector.refused)


def _report(
    batch_id: str, seen: int, faults: Counter[str], flaws: tuple[Flaw, ...], *, quick: bool
) -> VerifyReport:
    return VerifyReport(
        batch=batch_id,
        stored=seen - faults["missing"],
        missing=faults["missing"],
        whole=None if quick else seen - faults.total(),
        damaged=None if quick else faults["damaged"],
        unreadable=faults["unreadable"],
        flaws=flaws,
    )
