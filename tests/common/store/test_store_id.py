"""A store's id, on a folder and on a real S3 server."""

from __future__ import annotations

import pytest

from common.errors import StoreRefused
from common.store import Store, object_names, read_store_id, write_store_id

pytestmark = pytest.mark.integration


def test_what_was_written_is_read(store: Store) -> None:
    assert read_store_id(store) is None
    write_store_id(store, "5f3a")
    assert read_store_id(store) == "5f3a"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"id": 7}', b'{"id": ""}', b"[" * 5000])
def test_a_damaged_one_is_no_other_store(store: Store, data: bytes) -> None:
    """Nothing is overwritten for it: a person has to look."""
    store.put(object_names.STORE_ID, data)
    with pytest.raises(StoreRefused, match=r"store\.json is damaged"):
        read_store_id(store)
