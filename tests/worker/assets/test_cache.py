"""Assets: fetched once, verified, whole or not at all; manifests lead nowhere else."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from common.errors import BadInput, StoreUnreachable
from common.job import TINY_BASE, TINY_REFINER
from common.store import Store, object_names, open_store
from tests.support.engine import Told, put, put_tree
from tests.support.files import raising
from worker.assets import Assets, DownloadStopped

DATA = b"some weights"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def assets(store: Store, cache: Path) -> Assets:
    return Assets(store, cache, build_tiny=lambda folder: folder / "built")


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob(".*")]


def test_a_lora_is_fetched_once(assets: Assets, store: Store, cache: Path) -> None:
    sha256 = put(store, DATA)
    path = assets.lora(sha256)
    assert path.read_bytes() == DATA
    assert path.suffix == ".safetensors"
    store.delete(object_names.asset(sha256))
    assert assets.lora(sha256) == path
    assert leftovers(cache) == []


def test_what_the_store_lacks_is_the_cells_fault(assets: Assets, cache: Path) -> None:
    with pytest.raises(BadInput, match="is not in the store"):
        assets.lora("0" * 64)
    assert leftovers(cache) == []


def test_damaged_bytes_are_never_kept(assets: Assets, store: Store, cache: Path) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    store.put(object_names.asset(sha256), DATA[:-1])
    with pytest.raises(BadInput, match=f"{sha256} is damaged"):
        assets.lora(sha256)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    store.put(object_names.asset(sha256), DATA)
    assert assets.lora(sha256).read_bytes() == DATA


def test_errors_of_the_store_pass_through(
    assets: Assets, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreUnreachable("no answer")

    sha256 = put(store, DATA)
    monkeypatch.setattr(store, "get_file", away)
    with pytest.raises(StoreUnreachable):
        assets.lora(sha256)


@pytest.mark.parametrize("store_url", ["folder", "s3"], indirect=True)
def test_each_piece_that_comes_from_the_store_is_told(
    store_url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it is; and it can be stopped, which leaves nothing behind. The folder is as if on
    another disk."""
    monkeypatch.setattr("os.link", raising(errno.EXDEV))
    store = open_store(store_url)
    downloads = Told()
    assets = Assets(store, cache, downloads=downloads, build_tiny=lambda folder: folder)
    sha256 = put(store, b"x" * 20_000_000)
    assets.lora(sha256)
    assert downloads.told[-1] == f"LoRA {sha256[:12]}, 20 of 20 MB"
    assert len(set(downloads.told)) > 3
    tree = put_tree(store, _folder(cache.parent / "model"), {"unet/b": b"y" * 10_000_000})
    assets.model(tree)
    assert f"model folder {tree[5:17]}: unet/b, 10 of 10 MB" in downloads.told

    downloads.stop()
    with pytest.raises(DownloadStopped):
        assets.lora(put(store, b"z" * 20_000_000))
    assert leftovers(cache) == []


def test_threads_that_fetch_at_once_agree(assets: Assets, store: Store, cache: Path) -> None:
    tree = put_tree(store, _folder(cache.parent / "model"))
    sha256 = put(store, DATA * 100_000)
    found: list[tuple[bytes, bytes]] = []

    def fetch() -> None:
        model = assets.model(tree)
        assert isinstance(model, Path)
        found.append((assets.lora(sha256).read_bytes(), (model / "unet" / "a").read_bytes()))

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(DATA * 100_000, b"a")] * 8
    assert leftovers(cache) == []


def _folder(folder: Path) -> Path:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "a").write_bytes(b"a")
    (folder / "model_index.json").write_bytes(b"{}")
    return folder


def test_a_tree_is_the_folder_again(assets: Assets, store: Store, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "model")
    model = assets.model(put_tree(store, folder))
    assert isinstance(model, Path)
    files = sorted(p.relative_to(model).as_posix() for p in model.rglob("*") if p.is_file())
    assert files == ["model_index.json", "unet/a"]
    assert (model / "unet" / "a").read_bytes() == b"a"


def test_a_tree_without_one_of_its_files_does_not_appear(
    assets: Assets, store: Store, cache: Path, tmp_path: Path
) -> None:
    tree = put_tree(store, _folder(tmp_path / "model"))
    missing = object_names.asset(hashlib.sha256(b"a").hexdigest())
    store.delete(missing)
    with pytest.raises(BadInput, match="not in the store"):
        assets.model(tree)
    assert not list((cache / "trees").glob("*"))
    store.put(missing, b"a")
    assert assets.model(tree)


OUTSIDE = {
    "absolute": "/etc/x",
    "parent": "../x",
    "parent inside": "a/../../x",
    "current": "./x",
    "empty": "",
    "double slash": "a//x",
    "ends in a slash": "a/",
    "backslash": "..\\x",
    "drive": "C:x",
    "NUL": "a\0b",
    "newline": "a\nb",
    "too long a name": "a" * 256,
}


@pytest.mark.parametrize("path", OUTSIDE.values(), ids=OUTSIDE)
def test_no_path_leads_out_of_the_folder(
    assets: Assets, store: Store, cache: Path, path: str
) -> None:
    files = {"a-good-one": put(store, DATA), path: put(store, DATA)}
    manifest = put(store, json.dumps({"files": files}).encode())
    with pytest.raises(BadInput, match=r"has the path .*, which is no file inside it"):
        assets.model(f"tree:{manifest}")
    assert not (cache / "trees").exists()


def test_a_file_is_no_folder_for_another(assets: Assets, store: Store) -> None:
    sha256 = put(store, DATA)
    manifest = put(store, json.dumps({"files": {"a": sha256, "a/b": sha256}}).encode())
    with pytest.raises(BadInput, match="'a/b'"):
        assets.model(f"tree:{manifest}")


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"files": 3}',
        b'{"files": {}}',
        b'{"files": {"a": 3}}',
        b'{"files": {"a": "../../x"}}',
        b'{"files": [["a"]]}',
        b"[" * 100_000,
    ],
    ids=range(10),
)
def test_what_is_no_manifest_is_refused(assets: Assets, store: Store, manifest: bytes) -> None:
    with pytest.raises(BadInput, match="the model folder tree:"):
        assets.model(f"tree:{put(store, manifest)}")


def test_references_of_every_kind(assets: Assets, store: Store, cache: Path) -> None:
    assert assets.model(TINY_BASE) == cache / "built" / "base"
    assert assets.model(TINY_REFINER) == cache / "built" / "refiner"
    tree = put_tree(store, _folder(cache.parent / "model"))
    assert assets.model(tree) == cache / "trees" / tree.removeprefix("tree:")
