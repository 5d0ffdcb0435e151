"""The keys of a batch's pictures, or why nobody can tell them."""

from __future__ import annotations

from collections.abc import Iterable

from common.batch import ENUMERATE_UP_TO, Batch, Matrix
from common.errors import GridfarmError


class UnknownKeys(Exception):
    """Which pictures a batch has cannot be told, and why."""


def keys_of(batch_id: str, batch: Batch | None) -> Iterable[str]:
    """Raises UnknownKeys: above ENUMERATE_UP_TO cells, and without a document (None)."""
    if batch is None:
        raise UnknownKeys(f"the document of {batch_id} cannot be read")
    try:
        matrix = Matrix(batch)
        if len(matrix) > ENUMERATE_UP_TO:
            raise UnknownKeys(f"{batch_id} has {len(matrix):,} cells, too many to compare")
        return matrix.distinct.jobs if matrix.distinct else ()
    except GridfarmError as error:
        raise UnknownKeys(f"{batch_id}: {error.message}") from error
