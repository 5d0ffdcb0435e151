"""Which cells of a batch have to be in the store: those that it counts as done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from common.batch import Cell, Matrix
from common.dispatch import Control, Ledger, cell_of_failure, is_set, read_control, read_done
from common.errors import BrokerAway, GridfarmError, StoreError, StoreRefused, TooLarge
from common.store import Store, object_names


@dataclass(frozen=True)
class Due:
    """`bits` are the cells that are done; None: the batch is over, and all are but the
    `failed`."""

    matrix: Matrix
    bits: bytes | None
    failed: frozenset[int] = frozenset()

    def __contains__(self, i: object) -> bool:
        if not isinstance(i, int):
            return False
        return i not in self.failed if self.bits is None else is_set(self.bits, i)

    def __iter__(self) -> Iterator[Cell]:
        """Each distinct picture once, as far as equal cells are known."""
        distinct = self.matrix.distinct
        numbers = distinct.jobs.values() if distinct else self.matrix.numbers()
        return (cell for i in numbers if i in self and (cell := self.matrix[i]))

    @property
    def count(self) -> int:
        """How many they are, to show how far something is; exact up to ENUMERATE_UP_TO cells."""
        distinct = self.matrix.distinct
        if distinct:
            return sum(i in self for i in distinct.jobs.values())
        if self.bits is None:
            return self.matrix.jobs - len(self.failed)
        return sum(byte.bit_count() for byte in self.bits)


def due_cells(batch_id: str, matrix: Matrix, store: Store, ledger: Ledger | None) -> Due:
    """As the store and the ledger know it at this moment: look at pictures afterwards, and what
    a worker stores meanwhile is missed by nobody. Raises StoreError, TooLarge."""
    if _control(batch_id, store).state == "done":
        numbers = map(cell_of_failure, store.list(object_names.failures(batch_id)))
        return Due(matrix, None, frozenset(i for i in numbers if i is not None))
    return Due(matrix, done_bits(batch_id, matrix, store, ledger))


def known_due(batch_id: str, matrix: Matrix, store: Store) -> Due:
    """As `due_cells`, by the store alone, for who takes what is there: where the store does not
    say which cells are done, none is due. Raises StoreError where the store is the trouble."""
    try:
        return due_cells(batch_id, matrix, store, None)
    except (StoreRefused, TooLarge):
        return Due(matrix, b"")


def _control(batch_id: str, store: Store) -> Control:
    """The default also for one that is damaged: then the done bitmap says what is done."""
    try:
        return read_control(store, batch_id)
    except StoreError:
        raise
    except GridfarmError:
        return Control()


def done_bits(batch_id: str, matrix: Matrix, store: Store, ledger: Ledger | None) -> bytes:
    """The done bitmap: the ledger's, else, also where the broker is away, the store's, which is
    up to half a minute behind. Raises StoreError."""
    with suppress(BrokerAway):
        if ledger and ledger.known(batch_id):
            return ledger.done_bitmap(batch_id)
    return read_done(store, batch_id, len(matrix))
