"""What was found wrong with a batch's stored pictures, noted in the store until it is mended.

    batches/<id>/flaws/<i>.json     what `verify` or `fetch` found: {"reason": …}

A note is a hint and never believed: who mends reads the picture again, and who only tells of it
reads at least the first READ_AGAIN; a sheet is made of the pictures themselves. It lies beside
`failures/`, not in it: a failure says why a cell cannot be rendered, and a rebuild of the ledger
and the next rendering go by that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from common.batch import Cell, Matrix
from common.errors import GridfarmError, ObjectMissing, StoreError
from common.picture import is_stored
from common.store import Store, object_names
from producer.pictures.examine import GONE, LONGEST, Flaw, unreadable, whole_picture
from producer.progress import ProgressCallback, Say, show_no_progress

THREADS = 16
#: The largest note that is read, in bytes.
NOTE_BYTES = 1 << 20
#: So many noted pictures are read before they are told of, a hundred megabytes or two; notes
#: beyond them are told of as they are.
READ_AGAIN = 100

_NOTE = re.compile(r"/flaws/(\d{1,10})\.json\Z", re.ASCII)


@dataclass
class Inspector:
    """Reads a batch's pictures and keeps the notes about them: what is damaged is noted, a note
    about what is whole is taken away. May be used by several threads."""

    batch_id: str
    store: Store
    #: Why the store took no note; "" while it takes them.
    refused: str = ""

    def read(self, cell: Cell, *, due: bool = True) -> bytes | Flaw:
        """The cell's PNG, whole, or what is wrong. What is missing is noted only where it is
        `due`: it was stored once. Raises StoreError where the store is the trouble."""
        found = whole_picture(cell, self.store, self.batch_id)
        if not isinstance(found, Flaw):
            self._forget(cell.i)
        elif found.fault == "damaged" or (found.fault == "missing" and due):
            self._note(found)
        return found

    def look(self, cell: Cell) -> Flaw | None:
        """None where a picture of the cell's key is there; no more than its begin is read."""
        try:
            if is_stored(self.store, cell.key):
                return None
        except StoreError as error:
            return unreadable(cell, error, self.store, self.batch_id)
        flaw = Flaw(cell.i, cell.labels, "missing", GONE)
        self._note(flaw)
        return flaw

    def tell(self, say: Say) -> None:
        """Say that there are flaws which the store has no note of."""
        if self.refused:
            say(
                f"this could not be noted in the store ({self.refused}): retry will not look at "
                f"what is damaged before gridfarm verify {self.batch_id} was given by somebody "
                "who may write there"
            )

    def _note(self, flaw: Flaw) -> None:
        if self.refused:
            return
        note = json.dumps({"reason": flaw.reason}).encode()
        try:
            self.store.put(object_names.flaw(self.batch_id, flaw.i), note)
        except StoreError as error:
            self.refused = error.message

    def _forget(self, i: int) -> None:
        if i not in self._noted or self.refused:
            return
        try:
            self.store.delete(object_names.flaw(self.batch_id, i))
        except StoreError as error:
            self.refused = error.message

    @cached_property
    def _noted(self) -> frozenset[int]:
        return frozenset(_names(self.store, self.batch_id))


@dataclass(frozen=True)
class TakenAway:
    """What became of the noted pictures, by cell: those that are `gone` now, those whose note has
    been `dealt_with` (it is gone, or whole), and those that cannot be read, which stay."""

    gone: frozenset[int]
    dealt_with: frozenset[int]
    unreadable: tuple[Flaw, ...]


def take_damaged_away(
    matrix: Matrix, batch_id: str, store: Store, progress: ProgressCallback = show_no_progress
) -> TakenAway:
    """Delete the noted pictures that are still damaged, since a worker takes whatever lies under
    a key for stored. The notes stay until the cells are to be rendered again: `forget_flaws`.

    Another batch with the same picture has it again as soon as this one is rendered. Two people
    may do it at once. Between reading a picture and deleting it, another's retry may have had it
    drawn, whole; it is deleted then, and drawn once more, as this retry sends its cell too. Raises
    StoreError.
    """
    noted = [i for i in _names(store, batch_id) if i < len(matrix)]
    flaws: list[Flaw] = []
    with ThreadPoolExecutor(THREADS) as pool:
        answers = pool.map(lambda i: _take_away(_cell(matrix, i), batch_id, store), noted)
        for count, flaw in enumerate(answers, 1):
            flaws += [flaw] if flaw else []
            progress("reading damaged pictures again", count, len(noted))
    stay = tuple(flaw for flaw in flaws if flaw.fault == "unreadable")
    gone = frozenset(flaw.i for flaw in flaws if flaw.fault != "unreadable")
    return TakenAway(gone, frozenset(noted) - {flaw.i for flaw in stay}, stay)


def _cell(matrix: Matrix, i: int) -> Cell | None:
    """None also for one that cannot be, which no verify has noted."""
    try:
        return matrix[i]
    except GridfarmError:
        return None


def _take_away(cell: Cell | None, batch_id: str, store: Store) -> Flaw | None:
    """The PNG first: cut off in the middle, the cell is missing and not half judged."""
    flaw = _flaw(cell, batch_id, store)
    if cell and flaw and flaw.fault == "damaged":
        for name in (object_names.picture, object_names.sidecar, object_names.thumbnail):
            store.delete(name(cell.key))
    return flaw


def _flaw(cell: Cell | None, batch_id: str, store: Store) -> Flaw | None:
    """What is wrong with a noted picture now."""
    found = whole_picture(cell, store, batch_id) if cell else None
    return found if isinstance(found, Flaw) else None


def read_flaws(store: Store, batch_id: str, cells: int) -> dict[int, str]:
    """Cell → what was found wrong with its picture, of a batch of so many cells."""
    names = {i: name for i, name in _names(store, batch_id).items() if i < cells}
    if not names:
        return {}
    with ThreadPoolExecutor(THREADS) as pool:
        reasons = pool.map(lambda name: _read_reason(store, name), names.values())
        pairs = zip(names, reasons, strict=True)
        return {i: reason for i, reason in pairs if reason is not None}


def standing_flaws(
    notes: Mapping[int, str], matrix: Matrix, batch_id: str, store: Store
) -> dict[int, str]:
    """Those of the notes (cell → reason) that still are true, with what is wrong now. The pictures
    of the first READ_AGAIN are read; where one is whole by now, drawn again by whomever, its note
    is taken away, if the store lets it. Raises StoreError where the store is the trouble."""
    in_order = sorted(notes)
    again, beyond = in_order[:READ_AGAIN], in_order[READ_AGAIN:]
    with ThreadPoolExecutor(THREADS) as pool:
        flaws = list(pool.map(lambda i: _flaw(_cell(matrix, i), batch_id, store), again))
    found = dict(zip(again, flaws, strict=True))
    with suppress(StoreError):
        forget_flaws(store, batch_id, [i for i, flaw in found.items() if flaw is None])
    standing = {i: flaw.reason for i, flaw in found.items() if flaw}
    return standing | {i: notes[i] for i in beyond}


def forget_flaws(store: Store, batch_id: str, cells: Iterable[int]) -> None:
    """Take these notes away. Raises StoreError."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store.delete, [object_names.flaw(batch_id, i) for i in cells]))


def _names(store: Store, batch_id: str) -> dict[int, str]:
    """Cell → name of its note."""
    listed = store.list(object_names.flaws(batch_id))
    return {int(match[1]): name for name in listed if (match := _NOTE.search(name))}


def _read_reason(store: Store, name: str) -> str | None:
    """None for a note that somebody has just taken away."""
    try:
        return str(json.loads(store.get(name, most=NOTE_BYTES))["reason"])[: 2 * LONGEST]
    except ObjectMissing:
        return None
    except StoreError:
        raise
    except (GridfarmError, ValueError, TypeError, KeyError, RecursionError):
        return "the stored picture was found damaged"
