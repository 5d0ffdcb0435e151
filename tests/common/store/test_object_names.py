"""The names of objects as they stand in stores: none of them may ever change."""

from __future__ import annotations

import pytest

from common.store import object_names

KEY = "2540a492f27763b6fde2a51cd7109c07aee737afeb621f50384f112e3b9d324a"
BATCH = "animals-bdf10f0b"


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        (object_names.picture(KEY), f"images/25/{KEY}.png"),
        (object_names.sidecar(KEY), f"images/25/{KEY}.json"),
        (object_names.thumbnail(KEY), f"images/25/{KEY}.webp"),
        (object_names.asset(KEY), f"assets/{KEY}"),
        (object_names.hub_record("owner/name"), "hub/owner/name.json"),
        (object_names.active(BATCH), "active/animals-bdf10f0b"),
        (object_names.batch(BATCH), "batches/animals-bdf10f0b/batch.json"),
        (object_names.control(BATCH), "batches/animals-bdf10f0b/control.json"),
        (object_names.done_bitmap(BATCH), "batches/animals-bdf10f0b/done.bitmap"),
        (object_names.failures(BATCH), "batches/animals-bdf10f0b/failures/"),
        (object_names.failure(BATCH, 7), "batches/animals-bdf10f0b/failures/7.json"),
        (object_names.cells(BATCH), "batches/animals-bdf10f0b/cells.jsonl"),
        (object_names.probe("5f"), "probe/5f"),
    ],
)
def test_names_are_golden(name: str, golden: str) -> None:
    assert name == golden


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        (object_names.picture(KEY), object_names.IMAGES),
        (object_names.asset(KEY), object_names.ASSETS),
        (object_names.active(BATCH), object_names.ACTIVE),
        (object_names.batch(BATCH), object_names.BATCHES),
    ],
)
def test_a_listing_by_its_prefix_finds_them(name: str, prefix: str) -> None:
    assert name.startswith(prefix)
