"""What only a folder does: files that are no objects, and the disk's trouble."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from common.errors import StoreError, StoreFull, StoreRefused, StoreUnreachable
from common.store import local_files, open_store
from tests.support.files import cloning, names_in, raising


class TestList:
    def test_partial_and_hidden_files_are_no_objects(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("images/a.png", b"1")
        (tmp_path / "images" / f"{local_files.PARTIAL}123").write_bytes(b"half")
        (tmp_path / ".DS_Store").write_bytes(b"")

        assert list(store.list("")) == ["images/a.png"]

    def test_names_that_a_disk_takes_apart_are_listed_whole(self, tmp_path: Path) -> None:
        """As macOS' disks and some network shares do it: é is two characters there."""
        (tmp_path / "active").mkdir()
        (tmp_path / "active" / "cafe\u0301-1").write_bytes(b"")
        (tmp_path / "active" / "café-2").write_bytes(b"")
        store = open_store(str(tmp_path))

        assert list(store.list("")) == ["active/café-1", "active/café-2"]


class TestFiles:
    def test_a_persons_file_that_is_written_over_leaves_the_object_alone(
        self, tmp_path: Path
    ) -> None:
        """In place, as a training script does: the object is no second name of the file."""
        store = open_store(str(tmp_path / "store"))
        (tmp_path / "lora").write_bytes(b"old weights")

        store.put_file("assets/x", tmp_path / "lora")
        with (tmp_path / "lora").open("r+b") as file:
            file.write(b"new")

        assert store.get("assets/x") == b"old weights"

    def test_where_the_disk_clones_a_persons_file_is_not_copied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(str(tmp_path / "store"))
        (tmp_path / "lora").write_bytes(b"weights")
        monkeypatch.setattr("fcntl.ioctl", cloning)
        monkeypatch.setattr("shutil.copyfileobj", raising(errno.EIO))

        store.put_file("assets/x", tmp_path / "lora")

        assert store.get("assets/x") == b"weights"


class TestFolderTrouble:
    def test_the_first_put_makes_the_folder(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path / "not" / "yet"))

        assert list(store.list("")) == []
        assert not store.exists("a")
        assert not (tmp_path / "not").exists()
        store.put("a", b"1")

        assert store.get("a") == b"1"

    @pytest.mark.parametrize(
        ("number", "error"),
        [
            (errno.ENOSPC, StoreFull),
            (errno.EDQUOT, StoreFull),
            (errno.EROFS, StoreFull),
            (errno.EACCES, StoreRefused),
            (errno.EPERM, StoreRefused),
            (errno.EIO, StoreUnreachable),
            (errno.ESTALE, StoreUnreachable),
            (errno.EMFILE, StoreError),
        ],
        ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
    )
    def test_the_disks_answer_keeps_its_meaning_and_the_old_object(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        error: type[StoreError],
    ) -> None:
        store = open_store(str(tmp_path))
        store.put("images/a.png", b"old")

        with monkeypatch.context() as broken:
            broken.setattr(Path, "replace", raising(number))
            with pytest.raises(error, match=r"images/a\.png") as trouble:
                store.put("images/a.png", b"new")

        assert type(trouble.value) is error
        assert store.get("images/a.png") == b"old"
        assert names_in(tmp_path / "images") == ["a.png"]

    def test_a_file_in_the_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_bytes(b"a file")

        with pytest.raises(StoreRefused, match="store"):
            open_store(str(tmp_path / "store")).probe()

    def test_an_object_in_the_place_of_a_folder_is_refused(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("images/ab/a.png", b"1")

        with pytest.raises(StoreRefused):
            store.put("images/ab", b"2")
        with pytest.raises(StoreRefused):
            store.put("images/ab/a.png/b", b"2")

    def test_content_is_on_disk_before_the_name_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(str(tmp_path))
        order: list[str] = []
        sync, replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd))[1])
        monkeypatch.setattr(
            Path, "replace", lambda path, to: (order.append("rename"), replace(path, to))[1]
        )

        store.put("a", b"1")

        assert order == ["sync", "rename", "sync"]
