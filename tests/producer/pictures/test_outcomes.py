"""What is known of a cell, as a grid shows it; whole sheets are in `tests/producer/sheet/`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from common.errors import StoreError
from common.picture import decode_meta
from common.picture.png import encode_png
from common.store import Store, object_names, open_store
from producer.pictures import Failed, Picture, store_lookup
from tests.support.orders import frozen, put_batch
from tests.support.whole_pictures import cell_of, damage, put_whole

BATCH = frozen(more="settings: {size: 64x64}")
CELL = cell_of(BATCH, 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    put_batch(store, BATCH)
    put_whole(store, BATCH, [0])
    return store


def test_a_flipped_bit_is_no_picture(shelf: Store) -> None:
    damage(shelf, BATCH, 0)
    outcome = store_lookup(shelf, {})(CELL)
    assert isinstance(outcome, Failed) and "picture is damaged" in outcome.reason


def test_what_was_found_damaged_is_compared_with_its_sidecar(shelf: Store) -> None:
    """Other pixels in a PNG that is whole: only a sidecar tells, and only for what was noted is
    one read. A note that is out of date says nothing."""
    noted = {CELL.key: "the stored picture is damaged"}
    assert isinstance(store_lookup(shelf, noted)(CELL), Picture)
    damage(shelf, BATCH, 0, lambda png: encode_png(Image.new("RGB", (64, 64)), decode_meta(png)))
    outcome = store_lookup(shelf, noted)(CELL)
    assert isinstance(outcome, Failed) and "SHA-256" in outcome.reason


def test_one_that_cannot_be_read_holds_up_no_grid(shelf: Store) -> None:
    path = Path(shelf.url, object_names.picture(CELL.key))
    path.unlink()
    path.symlink_to(path)
    outcome = store_lookup(shelf, {}, BATCH.id)(CELL)
    assert isinstance(outcome, Failed) and "cannot be read" in outcome.reason
    with pytest.raises(StoreError):
        store_lookup(shelf, {})(CELL)
