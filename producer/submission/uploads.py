"""The models and LoRAs of a batch that are files of this machine, brought into the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.errors import ObjectMissing
from common.store import Store, object_names
from producer.progress import ProgressCallback, show_no_progress


def upload(
    assets: Mapping[str, Path | bytes], store: Store, progress: ProgressCallback = show_no_progress
) -> None:
    """Put the assets, by their SHA-256, that the store lacks or has in another size. Their name is
    their content, so none is put twice. Raises StoreError."""
    for count, (sha256, content) in enumerate(assets.items(), 1):
        name = object_names.asset(sha256)
        if not _is_there(name, content, store):
            _put(name, content, store)
        progress("uploading models and LoRAs", count, len(assets))


def _is_there(name: str, content: Path | bytes, store: Store) -> bool:
    try:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        return store.size(name) == size
    except (ObjectMissing, FileNotFoundError):  # whoever puts it says which file is gone
        return False


def _put(name: str, content: Path | bytes, store: Store) -> None:
    if isinstance(content, Path):
        store.put_file(name, content)
    else:
        store.put(name, content, content_type="application/json")
