"""A person's files, read where they lie: no copy of them, and never other bytes than were asked
for."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from common.assets import FileHashes, Stamp, file_hashes
from common.errors import BadInput
from common.store import Store, object_names, open_store
from tests.support.engine import put
from tests.support.files import names_in, raising
from worker.assets import Assets

DATA = b"some weights"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def assets(store: Store, cache: Path) -> Assets:
    return Assets(store, cache)


@pytest.fixture
def lora(tmp_path: Path, cache: Path) -> Path:
    """One that a command of this machine has hashed."""
    path = tmp_path / "mine" / "lora.safetensors"
    path.parent.mkdir()
    path.write_bytes(DATA)
    remember(cache, path)
    return path


def remember(cache: Path, *paths: Path) -> None:
    hashes = FileHashes(cache)
    for path in paths:
        hashes.sha256(path)
    hashes.save()


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    """A model folder that a command has hashed, and beside its files one that is none of them."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "a").write_bytes(DATA)
    (folder / "model_index.json").write_bytes(b"{}")
    remember(cache, folder / "unet" / "a", folder / "model_index.json")
    (folder / "unet" / "b.bin").write_bytes(b"a pickle")
    return folder


def ordered(store: Store) -> str:
    """As a submit that brings no file of the folder into the store."""
    files = {"unet/a": SHA256, "model_index.json": hashlib.sha256(b"{}").hexdigest()}
    return f"tree:{put(store, json.dumps({'files': files}).encode())}"


def copies(cache: Path) -> list[str]:
    return names_in(cache / "assets") if (cache / "assets").exists() else []


def test_a_file_is_read_where_it_lies(
    assets: Assets, lora: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being read before, where it looks as it did when it was hashed."""
    monkeypatch.setattr(file_hashes, "SETTLED_NS", -3600 * 10**9)
    monkeypatch.setattr(file_hashes, "sha256_file", raising(errno.EIO))
    assert assets.lora(SHA256) == lora
    assert copies(cache) == []
    assert assets.forget_changed() == []


def test_a_folder_is_read_where_it_lies(
    assets: Assets, store: Store, folder: Path, cache: Path
) -> None:
    """What is loaded has the manifest's files and no other, and all of them are the person's."""
    before = Stamp.of(folder / "unet" / "a")
    model = assets.model(tree := ordered(store))
    found = sorted(p.relative_to(model).as_posix() for p in model.rglob("*") if p.is_file())
    assert found == ["model_index.json", "unet/a"]
    assert all((model / name).samefile(folder / name) for name in found)
    assert copies(cache) == [tree.removeprefix("tree:")]
    assert before.is_of(folder / "unet" / "a"), "another name would look like a change"


def test_two_folders_with_the_same_files(
    assets: Assets, store: Store, folder: Path, cache: Path, tmp_path: Path
) -> None:
    """Where the first is gone, the second is read."""
    tree, first = ordered(store), folder
    assert (assets.model(tree) / "unet" / "a").samefile(first / "unet" / "a")
    second = first.rename(tmp_path / "moved")
    remember(cache, second / "unet" / "a", second / "model_index.json")
    assert assets.forget_changed()
    assert (assets.model(tree) / "unet" / "a").samefile(second / "unet" / "a")


@pytest.mark.parametrize("change", ["written over", "deleted"])
def test_a_file_that_was_changed_is_named(assets: Assets, lora: Path, change: str) -> None:
    if change == "deleted":
        lora.unlink()
    else:
        lora.write_bytes(DATA[::-1])
    for _ in range(2):
        with pytest.raises(BadInput, match=r"lora\.safetensors was changed or is gone") as trouble:
            assets.lora(SHA256)
        assert "give the same command again" in trouble.value.hint


def test_a_file_that_is_changed_while_it_is_used(assets: Assets, lora: Path) -> None:
    assert assets.lora(SHA256) == lora
    lora.write_bytes(DATA[::-1])
    assert assets.forget_changed() == [lora]
    assert assets.forget_changed() == []
    with pytest.raises(BadInput, match=r"lora\.safetensors was changed"):
        assets.lora(SHA256)


def test_what_was_changed_comes_from_the_store_that_has_it(
    assets: Assets, store: Store, lora: Path, cache: Path
) -> None:
    put(store, DATA)
    lora.write_bytes(DATA[::-1])
    assert assets.lora(SHA256).read_bytes() == DATA
    assert copies(cache) == [f"{SHA256}.safetensors"]


def test_another_users_file_that_may_not_be_read_is_left_alone(
    assets: Assets, store: Store, lora: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, DATA)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != lora and may(path, mode))
    assert assets.lora(SHA256) == cache / "assets" / f"{SHA256}.safetensors"


def test_a_file_that_was_only_touched_is_hashed_again_and_taken(assets: Assets, lora: Path) -> None:
    assert assets.lora(SHA256) == lora
    lora.touch()
    assert assets.forget_changed() == [lora]
    assert assets.lora(SHA256) == lora


def test_without_symbolic_links_a_folder_is_a_copy(
    assets: Assets, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "symlink_to", raising(errno.EPERM))
    model = assets.model(ordered(store))
    assert (model / "unet" / "a").read_bytes() == (folder / "unet" / "a").read_bytes() == DATA


def test_a_folder_of_which_the_store_has_a_part(assets: Assets, store: Store, folder: Path) -> None:
    (folder / "unet" / "a").unlink()
    put(store, DATA)
    model = assets.model(ordered(store))
    assert (model / "unet" / "a").read_bytes() == DATA
    assert (model / "model_index.json").samefile(folder / "model_index.json")


class TestFolderStoreOnTheSameDisk:
    def test_a_cached_asset_is_no_copy(
        self, assets: Assets, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where files cannot be cloned; of a clone nobody can tell."""
        monkeypatch.setattr("fcntl.ioctl", raising(errno.EOPNOTSUPP))
        put(store, DATA)
        assert assets.lora(SHA256).samefile(tmp_path / "store" / object_names.asset(SHA256))

    def test_it_is_verified_all_the_same(self, assets: Assets, store: Store, cache: Path) -> None:
        store.put(object_names.asset(SHA256), DATA[::-1])
        with pytest.raises(BadInput, match="is damaged"):
            assets.lora(SHA256)
        assert copies(cache) == []
        assert store.get(object_names.asset(SHA256)) == DATA[::-1]
