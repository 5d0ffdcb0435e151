"""Models and LoRAs of this machine on their way into the store, a folder and a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InputFileError
from common.store import Store, object_names
from producer.submission.uploads import upload
from tests.support.cell_tasks import WrappedStore

pytestmark = pytest.mark.integration

SHA256 = "ab" * 32
NAME = object_names.asset(SHA256)


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"weights")
    return path


def puts(store: Store, content: Path | bytes) -> int:
    """How often something is put when the asset is uploaded."""
    made: list[str] = []
    watched: Any = WrappedStore(store, lambda op, _: made.append(op))
    upload({SHA256: content}, watched)
    return sum(op.startswith("put") for op in made)


def test_what_the_store_has_is_not_put_again(store: Store, lora: Path) -> None:
    assert puts(store, lora) == 1
    assert puts(store, lora) == 0
    assert puts(store, b"weights") == 0
    assert store.get(NAME) == b"weights"


def test_what_is_cut_off_or_something_else_is_put_again(store: Store, lora: Path) -> None:
    """A name alone proves nothing: its size has to be right too."""
    store.put(NAME, b"weig")
    assert puts(store, lora) == 1
    assert store.get(NAME) == b"weights"


def test_a_file_that_is_gone_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"gone\.safetensors"):
        upload({SHA256: tmp_path / "gone.safetensors"}, store)
