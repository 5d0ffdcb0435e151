"""The store: the same promises on a folder and on a real S3 server with authentication."""

from __future__ import annotations

import errno
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.config import Config

from common.errors import (
    InputFileError,
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    UsageError,
)
from common.store import Store, local_files, open_store, s3
from tests.support.servers import ALL_RIGHTS, Ministack, free_port, ministack

pytestmark = pytest.mark.integration

BIG = bytes(range(256)) * 40_000  # 10 MB: more than one part of a multipart upload


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No back-off: tests of a server that is down need not wait for it."""
    once = s3.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    monkeypatch.setattr(s3, "CONFIG", once)


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

    @pytest.mark.parametrize("read", ["get", "get_file"])
    def test_a_missing_object_is_missing(self, store: Store, read: str, tmp_path: Path) -> None:
        rest = (tmp_path / "copy",) if read == "get_file" else ()

        with pytest.raises(ObjectMissing, match=r"images/no\.png"):
            getattr(store, read)("images/no.png", *rest)
        assert not store.exists("images/no.png")
        assert not (tmp_path / "copy").exists()

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

    def test_content_type_follows_the_name(self, s3_store_url: str, s3_server: Ministack) -> None:
        store = open_store(s3_store_url)
        store.put("a.webp", b"1")
        store.put("b.bin", b"1", content_type="text/plain")

        assert _head(s3_server, store, "a.webp")["ContentType"] == "image/webp"
        assert _head(s3_server, store, "b.bin")["ContentType"] == "text/plain"

    def test_only_headers_that_older_servers_know_are_sent(self, s3_store_url: str) -> None:
        store = open_store(s3_store_url)
        assert isinstance(store, s3.S3Store)
        sent: list[str] = []
        store._client.meta.events.register(
            "before-send.s3.PutObject", lambda request, **_: sent.extend(request.headers)
        )

        store.put("a", b"1")

        assert "Authorization" in sent
        assert not [header for header in sent if "checksum" in header.lower()]


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
        assert _names(tmp_path / "cache") == ["copy"]

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
        monkeypatch.setattr(local_files.os, "fsync", _raiser(errno.ENOSPC))

        with pytest.raises(StoreFull, match="cache/copy"):
            store.get_file("a", tmp_path / "cache" / "copy")
        assert _names(tmp_path / "cache") == []


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

    def test_a_console_mark_for_an_empty_folder_is_no_object(
        self, s3_store_url: str, s3_server: Ministack
    ) -> None:
        store = open_store(s3_store_url)
        store.put("images/a.png", b"1")
        key = f"{s3_store_url.removeprefix(f's3://{s3_server.bucket}/')}/images/"
        s3_server.client("s3").put_object(Bucket=s3_server.bucket, Key=key)

        assert list(store.list("images/")) == ["images/a.png"]

    def test_partial_and_hidden_files_are_no_objects(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        store.put("images/a.png", b"1")
        (tmp_path / "images" / f"{local_files.PARTIAL}123").write_bytes(b"half")
        (tmp_path / ".DS_Store").write_bytes(b"")

        assert list(store.list("")) == ["images/a.png"]


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
        assert _names(tmp_path) == []

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

    def test_longer_than_a_signature_lives_is_refused(self, s3_store_url: str) -> None:
        with pytest.raises(UsageError, match="604800"):
            open_store(s3_store_url).presign("a.png", 8 * 24 * 3600)

    def test_a_named_endpoint_is_addressed_by_path_and_signed_v4(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio.example:9000")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

        url = open_store("s3://bucket/p").presign("a.png", 60)

        assert url.startswith("http://minio.example:9000/bucket/p/a.png?")
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


class TestProbe:
    def test_enough_rights_pass_and_leave_nothing(self, store: Store) -> None:
        store.probe()

        assert list(store.list("")) == []

    @pytest.mark.parametrize("missing", ALL_RIGHTS)
    def test_each_missing_right_is_named(
        self,
        s3_store_url: str,
        s3_server: Ministack,
        monkeypatch: pytest.MonkeyPatch,
        missing: str,
    ) -> None:
        rights = [right for right in ALL_RIGHTS if right != missing]
        _log_in(monkeypatch, s3_server.user(f"no-{missing[3:]}", rights))

        with pytest.raises(StoreRefused) as refused:
            open_store(s3_store_url).probe()

        assert missing in refused.value.hint
        assert s3_server.bucket in refused.value.message
        assert s3_server.endpoint in refused.value.message

    def test_a_403_means_absent_only_once_the_rights_are_proven(
        self, s3_store_url: str, s3_server: Ministack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # AWS says 403 for what is missing when the right to list is; this server says 404,
        # so a user who may only write stands in.
        unproven, proven = open_store(s3_store_url), open_store(s3_store_url)
        proven.probe()
        _log_in(monkeypatch, s3_server.user("writer", ["s3:PutObject"]))
        for store in (unproven, proven):
            monkeypatch.setattr(store, "_client", _client_of(s3_store_url))

        with pytest.raises(StoreRefused, match="403"):
            unproven.exists("images/no.png")
        assert not proven.exists("images/no.png")
        with pytest.raises(ObjectMissing):
            proven.get("images/no.png")

    def test_a_revoked_key_never_reads_as_absent(
        self, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(s3_store_url)
        store.probe()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "revoked")
        monkeypatch.setattr(store, "_client", _client_of(s3_store_url))

        with pytest.raises(StoreRefused, match="SignatureDoesNotMatch"):
            store.get("images/no.png")


@pytest.mark.usefixtures("one_attempt")
class TestServerTrouble:
    def test_a_wrong_secret_is_refused_and_never_shown(
        self, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")

        with pytest.raises(StoreRefused) as refused:
            open_store(s3_store_url).probe()

        assert "AWS_SECRET_ACCESS_KEY" in refused.value.hint
        assert "not-the-secret" not in refused.value.message + refused.value.hint

    def test_no_credentials_are_refused_with_how_to_set_them(
        self, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        with pytest.raises(StoreRefused) as refused:
            open_store(s3_store_url).get("a")

        assert "AWS_ACCESS_KEY_ID" in refused.value.hint

    def test_an_unknown_profile_is_refused(
        self, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(StoreRefused, match="nobody"):
            open_store(s3_store_url)

    @pytest.mark.usefixtures("s3_store_url")
    def test_a_bucket_that_is_not_there_is_named(self) -> None:
        with pytest.raises(StoreRefused, match="s3://no-such-bucket/x") as refused:
            open_store("s3://no-such-bucket/x").probe()

        assert refused.value.exit_code == 3

    @pytest.mark.parametrize("method", ["put", "get", "exists", "list", "delete", "probe", "file"])
    def test_a_server_that_is_down_is_unreachable(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
    ) -> None:
        endpoint = f"http://user:password@127.0.0.1:{free_port()}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        store = open_store("s3://bucket/prefix")
        (tmp_path / "local").write_bytes(b"1")
        act: dict[str, Callable[[], object]] = {
            "put": lambda: store.put("a", b"1"),
            "get": lambda: store.get("a"),
            "exists": lambda: store.exists("a"),
            "list": lambda: list(store.list("")),
            "delete": lambda: store.delete("a"),
            "probe": store.probe,
            "file": lambda: store.put_file("a", tmp_path / "local"),
        }

        with pytest.raises(StoreUnreachable) as lost:
            act[method]()

        assert "s3://bucket/prefix at http://127.0.0.1" in lost.value.message
        assert "password" not in lost.value.message
        assert "AWS_ENDPOINT_URL_S3" in lost.value.hint

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (507, "XMinioStorageFull", StoreFull),
            (403, "QuotaExceeded", StoreFull),
            (503, "SlowDown", StoreUnreachable),
            (500, "InternalError", StoreUnreachable),
            (403, "InvalidAccessKeyId", StoreRefused),
            (400, "ExpiredToken", StoreRefused),
            (401, "Unauthorized", StoreRefused),
            (403, "RequestTimeTooSkewed", StoreRefused),
            (400, "AuthorizationHeaderMalformed", StoreRefused),
            (400, "EntityTooLarge", StoreError),
        ],
    )
    def test_the_servers_answer_keeps_its_meaning(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        status: int,
        code: str,
        error: type[StoreError],
    ) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        (tmp_path / "local").write_bytes(b"1")
        with _answering(monkeypatch, status, body):
            store = open_store("s3://bucket/prefix")

            with pytest.raises(error, match=code) as put:
                store.put("a", b"1")
            with pytest.raises(error, match=code):
                store.put_file("a", tmp_path / "local")
            with pytest.raises(error, match=code):
                list(store.list(""))

        assert type(put.value) is error

    def test_an_answer_that_breaks_off_is_unreachable(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with _answering(monkeypatch, 200, b"half", length=8):
            store = open_store("s3://bucket/prefix")

            with pytest.raises(StoreUnreachable):
                store.get("a")
            with pytest.raises(StoreUnreachable):
                store.get_file("a", tmp_path / "copy")

        assert _names(tmp_path) == []

    def test_objects_are_there_again_after_the_server_was_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ministack(tmp_path / "server") as server:
            _log_in(monkeypatch, server.environment)
            store = open_store(f"s3://{server.bucket}/p")
            store.put("a", b"1")
            server.kill()
            with pytest.raises(StoreUnreachable):
                store.get("a")
            server.start()

            assert store.get("a") == b"1"


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
            broken.setattr(Path, "replace", _raiser(number))
            with pytest.raises(error, match=r"images/a\.png") as trouble:
                store.put("images/a.png", b"new")

        assert type(trouble.value) is error
        assert store.get("images/a.png") == b"old"
        assert _names(tmp_path / "images") == ["a.png"]

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


class TestUrls:
    def test_a_file_url_and_a_path_are_the_same_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "my renders"

        open_store(folder.as_uri()).put("a", b"1")

        assert open_store(str(folder)).get("a") == b"1"

    def test_a_relative_path_stays_where_it_was_meant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = open_store("renders")
        monkeypatch.chdir("/")

        store.put("a", b"1")

        assert (tmp_path / "renders" / "a").read_bytes() == b"1"

    @pytest.mark.parametrize(
        "url",
        ["", "gs://bucket/x", "https://host/x", "s3://", "s3:///x", "s3://b/../x", "file://host/x"],
    )
    def test_what_is_no_store_is_said_with_what_is(self, url: str) -> None:
        with pytest.raises(UsageError) as wrong:
            open_store(url)

        assert wrong.value.hint

    @pytest.mark.parametrize("url", ["s3://key:hush@bucket/x", "https://key:hush@host/x"])
    def test_credentials_in_a_url_are_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(UsageError) as wrong:
            open_store(url)

        assert "hush" not in wrong.value.message + wrong.value.hint

    def test_an_endpoint_without_its_scheme_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "minio:9000")

        with pytest.raises(UsageError, match="minio:9000") as wrong:
            open_store("s3://bucket/x")

        assert "http://host:port" in wrong.value.hint

    def test_no_trailing_slash_changes_the_place(self, s3_store_url: str) -> None:
        open_store(f"{s3_store_url}/").put("a", b"1")

        assert open_store(s3_store_url).get("a") == b"1"


@contextmanager
def _answering(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, *, length: int | None = None
) -> Iterator[None]:
    """An S3 endpoint that gives this one answer; `length` is what it claims to send."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # answers `Expect: 100-continue`, which boto3 waits for

        def answer(self) -> None:
            self.close_connection = True
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        try:
            yield
        finally:
            server.shutdown()


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def _raiser(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _or_note(wrong: list[object], act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # a thread's exception would be lost
        wrong.append(error)


def _log_in(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def _client_of(url: str) -> object:
    store = open_store(url)
    assert isinstance(store, s3.S3Store)
    return store._client


def _head(server: Ministack, store: Store, name: str) -> dict[str, str]:
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    return dict(server.client("s3").head_object(Bucket=bucket, Key=f"{prefix}/{name}"))
