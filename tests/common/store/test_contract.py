"""The store: the same promises on a folder and on a real S3 server with authentication."""

from __future__ import annotations

import errno
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import InputFileError, ObjectMissing, StoreFull, UsageError
from common.store import Store, local_files, open_store, s3
from tests.support.files import names_in, raising
from tests.support.servers import free_port

pytestmark = pytest.mark.integration

BIG = bytes(range(256)) * 40_000  # 10 MB: more than one part of a multipart upload


class TestObjects:
    def test_what_was_put_is_read_back_to_the_byte(self, store: Store) -> None:
        store.put("images/ab/abc.png", b"\x89PNG\r\n\x00")

        assert store.get("images/ab/abc.png") == b"\x89PNG\r\n\x00"
        assert store.exists("images/ab/abc.png")

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        store.put("active/b-1", b"")

        assert store.get("active/b-1") == b""
        assert list(store.list("active/")) == ["active/b-1"]

    def test_a_second_put_replaces_the_first(self, store: Store) -> None:
        store.put("control.json", b"a long first version")
        store.put("control.json", b"second")

        assert store.get("control.json") == b"second"

    def test_a_second_store_at_the_same_url_sees_the_objects(self, store: Store) -> None:
        store.put("a", b"1")

        assert open_store(store.url).get("a") == b"1"

    def test_two_prefixes_do_not_see_each_other(self, store: Store) -> None:
        store.put("inner/a", b"1")
        inner = open_store(f"{store.url}/inner")

        assert list(inner.list("")) == ["a"]
        assert list(open_store(f"{store.url}/inn").list("")) == []

    @pytest.mark.parametrize("read", ["get", "get_file", "get_start"])
    def test_a_missing_object_is_missing(self, store: Store, read: str, tmp_path: Path) -> None:
        rest = {"get_file": (tmp_path / "copy",), "get_start": (4,)}.get(read, ())

        with pytest.raises(ObjectMissing, match=r"images/no\.png"):
            getattr(store, read)("images/no.png", *rest)
        assert not store.exists("images/no.png")
        assert not (tmp_path / "copy").exists()

    def test_the_start_of_an_object(self, store: Store) -> None:
        store.put("long", b"0123456789")
        store.put("empty", b"")

        assert store.get_start("long", 4) == b"0123"
        assert store.get_start("long", 40) == b"0123456789"
        assert store.get_start("empty", 4) == b""

    def test_a_folder_of_objects_is_not_an_object(self, store: Store) -> None:
        store.put("images/ab/x.png", b"1")

        assert not store.exists("images/ab")
        with pytest.raises(ObjectMissing):
            store.get("images/ab")

    def test_below_an_object_is_nothing(self, store: Store) -> None:
        store.put("active/b-1", b"1")

        assert not store.exists("active/b-1/x")
        with pytest.raises(ObjectMissing):
            store.get("active/b-1/x")

    def test_delete_removes_and_may_be_repeated(self, store: Store) -> None:
        store.put("active/b-1", b"1")

        store.delete("active/b-1")
        store.delete("active/b-1")

        assert not store.exists("active/b-1")
        assert list(store.list("")) == []


class TestFiles:
    def test_a_file_of_several_parts_goes_up_and_down_whole(
        self, store: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "big").write_bytes(BIG)

        store.put_file("assets/big", tmp_path / "big")
        store.get_file("assets/big", tmp_path / "new folder" / "copy")

        assert (tmp_path / "new folder" / "copy").read_bytes() == BIG
        assert store.get("assets/big") == BIG

    def test_get_file_replaces_a_file_and_leaves_nothing_else(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.put("a", b"new")
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "copy").write_bytes(b"old")

        store.get_file("a", tmp_path / "cache" / "copy")

        assert (tmp_path / "cache" / "copy").read_bytes() == b"new"
        assert names_in(tmp_path / "cache") == ["copy"]

    def test_a_file_that_is_not_there_is_the_persons_mistake(
        self, store: Store, tmp_path: Path
    ) -> None:
        with pytest.raises(InputFileError, match=r"lora\.safetensors"):
            store.put_file("assets/x", tmp_path / "lora.safetensors")
        assert not store.exists("assets/x")

    def test_a_full_local_disk_is_said_and_leaves_no_part(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("a", b"1")
        monkeypatch.setattr(local_files.os, "fsync", raising(errno.ENOSPC))

        with pytest.raises(StoreFull, match="cache/copy"):
            store.get_file("a", tmp_path / "cache" / "copy")
        assert names_in(tmp_path / "cache") == []


class TestList:
    def test_names_begin_with_the_prefix_and_are_sorted_as_bytes(self, store: Store) -> None:
        names = ["a-b", "a/b/c", "a/b", "a/ä", "a/z", "aa", "b"]
        for name in names:
            if name != "a/b":  # a folder cannot hold both a/b and a/b/c
                store.put(name, b"1")

        assert list(store.list("")) == ["a-b", "a/b/c", "a/z", "a/ä", "aa", "b"]
        assert list(store.list("a/")) == ["a/b/c", "a/z", "a/ä"]
        assert list(store.list("a")) == ["a-b", "a/b/c", "a/z", "a/ä", "aa"]
        assert list(store.list("a/b")) == ["a/b/c"]
        assert list(store.list("nothing/here/")) == []

    def test_all_pages_are_listed(self, store: Store) -> None:
        names = [f"failures/{i:03}.json" for i in range(25)]
        for name in names:
            store.put(name, b"1")
        if isinstance(store, s3.S3Store):
            store.page_size = 10

        assert list(store.list("failures/")) == names

    def test_folders_are_those_that_objects_lie_in(self, store: Store) -> None:
        """Of any depth, in the order of `list`; an object, a folder that was emptied and the
        folder of another name that begins alike are none."""
        for name in ("b/a/x", "b/a/y/z", "b/a-b/c/d", "b/object", "b/gone/x", "bb/c/x"):
            store.put(name, b"1")
        store.delete("b/gone/x")
        if isinstance(store, s3.S3Store):
            store.page_size = 1

        assert list(store.folders("b/")) == ["a-b", "a"]
        assert list(store.folders("b/a/")) == ["y"]
        assert list(store.folders("nothing/here/")) == []

    @pytest.mark.parametrize("folder", ["", "/", "b", "../", "b//"])
    def test_what_is_no_folder_is_refused(self, store: Store, folder: str) -> None:
        with pytest.raises(UsageError):
            list(store.folders(folder))


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["with space.png", "Ünïcode-漢字-🐺.png", "a+b=c&d%20e?f#g.png", "x" * 200, "q'uo\"te"],
        ids=["space", "unicode", "reserved", "long", "quotes"],
    )
    def test_readable_names_round_trip(self, store: Store, name: str) -> None:
        store.put(f"grids/{name}", name.encode())

        assert store.get(f"grids/{name}") == name.encode()
        assert list(store.list("grids/")) == [f"grids/{name}"]
        assert list(store.list(f"grids/{name}")) == [f"grids/{name}"]

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "/etc/passwd",
            "../outside",
            "images/../../outside",
            "images//x",
            "images/",
            "./x",
            "images/.hidden",
            "a\\..\\b",
            "a\x00b",
            "a\nb",
            "a\ud800b",
            "x" * 2000,
        ],
    )
    def test_what_is_no_object_name_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
        rest = {"put": (b"1",), "presign": (60,)}

        for store in (open_store(str(tmp_path / "store")), open_store("s3://bucket/prefix")):
            for method in ("put", "get", "exists", "delete", "presign"):
                with pytest.raises(UsageError):
                    getattr(store, method)(name, *rest.get(method, ()))
        assert names_in(tmp_path) == []

    @pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../b"])
    def test_a_prefix_cannot_leave_the_store(self, store: Store, prefix: str) -> None:
        with pytest.raises(UsageError):
            list(store.list(prefix))


class TestTornReads:
    def test_two_writers_at_one_name_never_show_a_mixture(self, store: Store) -> None:
        versions = [bytes([i]) * 200_000 for i in range(2)]
        store.put("images/x.png", versions[0])
        stop = threading.Event()
        wrong: list[object] = []

        def write(data: bytes) -> None:
            while not stop.is_set():
                _or_note(wrong, lambda: store.put("images/x.png", data))

        writers = [threading.Thread(target=write, args=(data,)) for data in versions]
        for writer in writers:
            writer.start()
        seen = [store.get("images/x.png") for _ in range(40)]
        stop.set()
        for writer in writers:
            writer.join()

        assert wrong == []
        assert all(data in versions for data in seen)
        assert list(store.list("")) == ["images/x.png"]


class TestPresign:
    def test_anyone_with_the_link_reads_the_object(self, store: Store) -> None:
        store.put("grids/my grid.png", b"picture")

        with urllib.request.urlopen(store.presign("grids/my grid.png", 60)) as answer:
            assert answer.read() == b"picture"


class TestProbe:
    def test_enough_rights_pass_and_leave_nothing(self, store: Store) -> None:
        store.probe()

        assert list(store.list("")) == []


def _or_note(wrong: list[object], act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # a thread's exception would be lost
        wrong.append(error)
