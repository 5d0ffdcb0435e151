"""Pictures as a worker stores them, and what may happen to them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PIL import Image

from common.batch import Batch, Cell, Matrix
from common.picture import PictureMeta, encode_picture
from common.store import Store, object_names


def cell_of(batch: Batch, i: int) -> Cell:
    cell = Matrix(batch)[i]
    assert cell
    return cell


def put_whole(store: Store, batch: Batch, cells: Iterable[int], *, seconds: float = 1.0) -> None:
    """PNG, sidecar and thumbnail of each cell; `seconds` is what its rendering took."""
    for i in cells:
        put_rendered(store, cell_of(batch, i), seconds=seconds)


def put_rendered(store: Store, cell: Cell, *, seconds: float = 1.0) -> None:
    image = Image.new("RGB", (cell.job.width, cell.job.height), (cell.i % 200, 90, 30))
    made = encode_picture(image, PictureMeta(cell.job, {"device": "test"}, {"denoise": seconds}))
    store.put(object_names.sidecar(cell.key), made.sidecar)
    store.put(object_names.thumbnail(cell.key), made.thumbnail)
    store.put(object_names.picture(cell.key), made.png)


def flipped(png: bytes, *, at: int = -30) -> bytes:
    """With one bit of its pixels another than it was."""
    changed = bytearray(png)
    changed[at] ^= 1
    return bytes(changed)


def damage(store: Store, batch: Batch, i: int, how: Callable[[bytes], bytes] = flipped) -> None:
    """A disk or a hand has changed the stored PNG; its sidecar stays."""
    name = object_names.picture(cell_of(batch, i).key)
    store.put(name, how(store.get(name)))


def is_whole(store: Store, batch: Batch, i: int) -> bool:
    from producer.pictures.examine import whole_picture

    return isinstance(whole_picture(cell_of(batch, i), store), bytes)
