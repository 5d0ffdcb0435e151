"""What only a server does: content types, signatures, rights, and every kind of trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.config import Config

from common.errors import (
    ObjectMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    UsageError,
)
from common.store import Store, open_store, s3
from tests.support.files import names_in
from tests.support.servers import ALL_RIGHTS, Ministack, free_port, ministack

pytestmark = pytest.mark.integration


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No back-off: tests of a server that is down need not wait for it."""
    once = s3.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    monkeypatch.setattr(s3, "CONFIG", once)


class TestObjects:
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


class TestList:
    def test_a_console_mark_for_an_empty_folder_is_no_object(
        self, s3_store_url: str, s3_server: Ministack
    ) -> None:
        store = open_store(s3_store_url)
        store.put("images/a.png", b"1")
        key = f"{s3_store_url.removeprefix(f's3://{s3_server.bucket}/')}/images/"
        s3_server.client("s3").put_object(Bucket=s3_server.bucket, Key=key)

        assert list(store.list("images/")) == ["images/a.png"]


class TestPresign:
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

    def test_a_403_means_absent_only_where_a_list_says_so(
        self, s3_store_url: str, s3_server: Ministack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whether the store was probed before or not: rights may be taken away at any time."""
        store = open_store(s3_store_url)
        store.put("images/yes.png", b"1")
        store.probe()
        lister = s3_server.user("lister", ["s3:ListBucket", "s3:PutObject"])
        _log_in(monkeypatch, lister)
        monkeypatch.setattr(store, "_client", _client_of(s3_store_url))

        with pytest.raises(StoreRefused, match="403"):
            store.exists("images/yes.png")
        with pytest.raises(StoreRefused):
            store.get("images/yes.png")
        assert not store.exists("images/no.png")
        with pytest.raises(ObjectMissing):
            store.get("images/no.png")

    def test_a_403_without_the_right_to_list_proves_nothing(
        self, s3_store_url: str, s3_server: Ministack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(s3_store_url)
        store.probe()
        _log_in(monkeypatch, s3_server.user("writer", ["s3:PutObject"]))
        monkeypatch.setattr(store, "_client", _client_of(s3_store_url))

        with pytest.raises(StoreRefused, match="403"):
            store.exists("images/no.png")

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

        assert names_in(tmp_path) == []

    def test_objects_are_there_again_after_the_server_was_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ministack(tmp_path / "server") as server:
            _log_in(monkeypatch, server.environment)
            store = open_store(f"s3://{server.bucket}/p")
            store.put("a", b"1")
            server.save()
            server.kill()
            with pytest.raises(StoreUnreachable):
                store.get("a")
            server.start()

            assert store.get("a") == b"1"


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
