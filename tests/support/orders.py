"""Batches as they lie in a store, put there without a broker or a worker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from common.batch import Batch, Matrix
from common.dispatch import Control, State, bitmap_of, write_control
from common.store import Store, object_names
from producer.language import load_batch_file
from producer.submission import resolve_offline
from tests.support.pictures import as_if_rendered

UNFINISHED = ("rendering", "paused")


def frozen(name: str = "night", *, seeds: str = "0..3", more: str = "") -> Batch:
    """Wolves on the tiny model, one cell a seed."""
    text = f"name: {name}\nmodel: tiny\nprompts: [a wolf]\nseeds: {seeds}\n{more}"
    file = load_batch_file(None, text=text, base_dir=Path.cwd())
    return resolve_offline(file, None)


def put_batch(
    store: Store,
    batch: Batch,
    *,
    state: State = "done",
    submitted: float = 1.0,
    done: Iterable[int] = (),
) -> str:
    """The batch with a picture for each cell of `done`; its id."""
    store.put(object_names.batch(batch.id), batch.to_bytes())
    write_control(store, batch.id, Control(state=state, submitted=submitted))
    if state in UNFINISHED:
        store.put(object_names.active(batch.id), b"")
    put_pictures(store, batch, done)
    return batch.id


def put_pictures(store: Store, batch: Batch, cells: Iterable[int]) -> None:
    matrix, wanted = Matrix(batch), list(cells)
    store.put(object_names.done_bitmap(batch.id), bitmap_of(wanted, len(matrix)))
    for i in wanted:
        cell = matrix[i]
        assert cell
        for name in (object_names.picture, object_names.sidecar, object_names.thumbnail):
            store.put(name(cell.key), as_if_rendered(cell.key))


def left_in(store: Store) -> list[str]:
    """All objects but the store's own id, which stays."""
    return [name for name in store.list("") if name != object_names.STORE_ID]


def pictures_in(store: Store) -> int:
    return sum(name.endswith(".png") for name in store.list(object_names.IMAGES))
