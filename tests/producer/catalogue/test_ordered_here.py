"""What is remembered of the batches that were ordered from this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.store import open_store
from producer.catalogue import remember, remembered
from producer.catalogue.ordered_here import REMEMBERED, LastBatch


def test_the_last_comes_first_and_each_once(tmp_path: Path) -> None:
    one, two = (open_store(str(tmp_path / "a folder" / name)) for name in ("one", "two"))
    for batch, store in (("night-1", one), ("day-1", two), ("night-1", one), ("night-1", two)):
        remember(tmp_path, batch, store)
    assert remembered(tmp_path) == [
        LastBatch("night-1", two.url),
        LastBatch("night-1", one.url),
        LastBatch("day-1", two.url),
    ]


def test_so_many_and_no_more(tmp_path: Path) -> None:
    for number in range(REMEMBERED + 3):
        remember(tmp_path, f"night-{number}", open_store("s3://bucket"))
    assert len(remembered(tmp_path)) == REMEMBERED
    assert remembered(tmp_path)[0].id == f"night-{REMEMBERED + 2}"


@pytest.mark.parametrize("content", [None, b"", b"wolves-00000000", b"\xff\xfe\n", b"\n\n"])
def test_what_cannot_be_read_is_nothing(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "last-batches").write_bytes(content)
    assert remembered(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    remember(tmp_path / "cache", "night-1", open_store("s3://bucket"))
    assert remembered(tmp_path / "cache") == []
