"""An S3-compatible server as the object store.

Endpoint, region and credentials are boto3's own: AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION,
AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws/config, a machine's role. With an endpoint that is set,
boto3 addresses the bucket in the path unless a profile says `addressing_style = virtual`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.config import Config

from common.errors import ObjectMissing, StoreError, StoreUnreachable, UsageError
from common.store import protocol
from common.store.local_files import disk_errors, open_input, replacing
from common.store.s3_errors import (
    BROKEN_OFF,
    CHECK_SERVER,
    FAILURES,
    is_beyond_the_end,
    is_forbidden,
    store_error,
)
from common.text import without_login

#: The longest life of a URL signed with SigV4.
PRESIGN_SECONDS = 7 * 24 * 3600

#: boto3 asks again for an answer, but not for a body that breaks off.
BODIES = 3

CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=16,
    signature_version="s3v4",
    # The checksums of newer clients are unknown to many servers that are not AWS.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Store:
    """Objects are `prefix/name` in `bucket`. See `common.store.protocol.Store`."""

    page_size = 1000  # names per request of a list: the most that S3 gives

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.root = f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = _connect(self.url)
        self._place = f"{self.url} at {without_login(self._client.meta.endpoint_url)}"

    def put(self, name: str, data: bytes, *, content_type: str = "") -> None:
        with self._errors("write", name):
            answer = self._client.put_object(
                Bucket=self.bucket, Key=self._key(name), Body=data, **_typed(name, content_type)
            )
        self._check_speaks_s3(answer)

    def put_file(self, name: str, path: Path) -> None:
        with (
            disk_errors(f"cannot read {path}"),
            self._errors("write", name),
            open_input(path) as source,
        ):
            self._client.upload_fileobj(
                source, self.bucket, self._key(name), ExtraArgs=_typed(name, "")
            )

    def get(self, name: str, *, most: int = protocol.GET_BYTES) -> bytes:
        with self._reading(name):
            for _ in range(BODIES - 1):
                with suppress(*BROKEN_OFF):
                    return self._get(name, most)
            return self._get(name, most)

    def _get(self, name: str, most: int) -> bytes:
        answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
        with closing(answer["Body"]) as body:
            self._check_speaks_s3(answer)
            protocol.check_size(f"{self._place}: {name}", answer["ContentLength"], most)
            data: bytes = body.read()
        return data

    def get_file(self, name: str, path: Path, on_bytes: protocol.OnBytes | None = None) -> None:
        with disk_errors(f"cannot write {path}"), self._reading(name), replacing(path) as copy:
            key = self._key(name)
            self._client.download_fileobj(self.bucket, key, copy, Callback=on_bytes)

    def get_start(self, name: str, count: int) -> bytes:
        with self._reading(name):
            for _ in range(BODIES - 1):
                with suppress(*BROKEN_OFF):
                    return self._get_start(name, count)
            return self._get_start(name, count)

    def _get_start(self, name: str, count: int) -> bytes:
        try:
            answer = self._client.get_object(
                Bucket=self.bucket, Key=self._key(name), Range=f"bytes=0-{count - 1}"
            )
        except FAILURES as error:
            if is_beyond_the_end(error):
                return b""
            raise
        with closing(answer["Body"]) as body:
            self._check_speaks_s3(answer)
            start: bytes = body.read(count)
        return start

    def size(self, name: str) -> int:
        with self._reading(name):
            head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
            self._check_speaks_s3(head)
            return int(head["ContentLength"])

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str) -> Iterator[str]:
        protocol.check_prefix(prefix)
        with self._errors("list", prefix):
            for page in self._pages(prefix):
                for item in page.get("Contents", ()):
                    # A key that ends in a slash is a console's mark for an empty folder.
                    if not item["Key"].endswith("/"):
                        yield item["Key"].removeprefix(self.root)

    def folders(self, folder: str) -> Iterator[str]:
        protocol.check_folder(folder)
        with self._errors("list", folder):
            for page in self._pages(folder, Delimiter="/"):
                for item in page.get("CommonPrefixes", ()):
                    yield item["Prefix"].removeprefix(self.root + folder).removesuffix("/")

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages: Iterator[dict[str, Any]] = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=self.root + prefix,
            PaginationConfig={"PageSize": self.page_size},
            **options,
        )
        return pages

    def delete(self, name: str) -> None:
        with self._errors("delete", name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def own_file(self, name: str) -> Path | None:  # noqa: ARG002
        return None

    def presign(self, name: str, seconds: int) -> str:
        if not 0 < seconds <= PRESIGN_SECONDS:
            raise UsageError(f"a signed URL lives 1 to {PRESIGN_SECONDS} s, not {seconds}")
        with self._errors("read", name):
            return str(
                self._client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": self.bucket, "Key": self._key(name)},
                    ExpiresIn=seconds,
                )
            )

    def probe(self) -> None:
        protocol.probe(self)

    def _check_speaks_s3(self, answer: dict[str, Any]) -> None:
        """A captive portal or a proxy answers everything with 200 and a page of its own; an
        object's ETag it does not give."""
        if "ETag" not in answer:
            raise StoreUnreachable(f"{self._place}: what answers there is no S3 server",
                                   hint=CHECK_SERVER)  # fmt: skip

    def _key(self, name: str) -> str:
        protocol.check_name(name)
        return self.root + name

    @contextmanager
    def _errors(self, action: str, name: str) -> Iterator[None]:
        """Raise what goes wrong on the way to the server, or there, as a StoreError."""
        try:
            yield
        except FAILURES as error:
            raise store_error(error, action, f"{self._place}: cannot {action} {name}") from error

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """The same for an object that has to be there. Raises ObjectMissing.

        Without s3:ListBucket on the whole bucket a server says 403 for what is not there, and
        so it does for what is there and not ours to read. Only a list tells the two apart.
        """
        with self._errors("read", name):
            try:
                yield
            except FAILURES as error:
                if is_forbidden(error) and self._is_listed_as_missing(name):
                    raise ObjectMissing(f"{self._place} has no object {name}") from error
                raise

    def _is_listed_as_missing(self, name: str) -> bool:
        try:
            return name not in self.list(name)
        except StoreError:
            return False


def _connect(url: str) -> Any:
    """A client, which threads may share. Raises StoreError where boto3's settings are broken.

    It has its own Session: boto3's default one keeps the first credentials it saw, and is not
    safe to make clients from in several threads.
    """
    try:
        client = Session().client("s3", config=CONFIG)
        client.meta.events.register("request-created.s3.PutObject", _send_at_once)
        return client
    except FAILURES as error:
        raise store_error(error, "open", url) from error
    except ValueError as error:  # an endpoint without its http://
        raise UsageError(
            f"{url}: {without_login(str(error))}",
            hint="AWS_ENDPOINT_URL_S3 is a URL: http://host:port",
        ) from error


def _send_at_once(request: Any, **_: Any) -> None:
    """boto3 asks before each PUT whether it may send the body: a second round trip, which takes
    longer than a picture's bytes."""
    del request.headers["Expect"]


def _typed(name: str, content_type: str) -> dict[str, str]:
    return {"ContentType": content_type or protocol.content_type(name)}
