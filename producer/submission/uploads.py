"""The models and LoRAs of a batch that are files of this machine, brought into the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.store import Store, object_names
from producer.progress import ProgressCallback, show_no_progress


def upload(
    assets: Mapping[str, Path | bytes], store: Store, progress: ProgressCallback = show_no_progress
) -> None:
    """Put the assets, by their SHA-256, that the store lacks. Their name is their content, so
    none is put twice. Raises StoreError."""
    for count, (sha256, content) in enumerate(assets.items(), 1):
        name = object_names.asset(sha256)
        if not store.exists(name):
            _put(name, content, store)
        progress("uploading models and LoRAs", count, len(assets))


def _put(name: str, content: Path | bytes, store: Store) -> None:
    if isinstance(content, Path):
        store.put_file(name, content)
    else:
        store.put(name, content, content_type="application/json")
