"""From a URL to the store that lies there.

open_store("s3://bucket/prefix")    any S3-compatible server (common.store.s3)
open_store("~/renders")             a folder, or a file:// URL (common.store.folder)

A store that nobody fills is waited for without end, so what only might be a folder's name is
refused (`common.store.mistyped`).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from common.errors import UsageError
from common.store.folder import FolderStore
from common.store.mistyped import check_url
from common.store.protocol import Store, check_name
from common.text import without_login

BUCKET_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")


def open_store(url: str) -> Store:
    """The store at `url`; no request is made yet. Raises UsageError for what is no store."""
    url = url.strip()
    check_url(url)
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme == "file":
        return _open_folder(_file_url_path(url))
    if scheme == "s3":
        return _open_bucket(url)
    return _open_folder(Path(url))


def _open_folder(path: Path) -> Store:
    return FolderStore(path.expanduser().absolute())


def _file_url_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"{without_login(url)!r} names a folder of another machine",
            hint="a folder's URL has three slashes: file:///mnt/renders",
        )
    return Path(unquote(parts.path))


def _open_bucket(url: str) -> Store:
    # boto3 is slow to import (a fifth of a second), so only a store that needs it pays for it.
    from common.store.s3 import S3Store

    bucket, _, prefix = url[len("s3://") :].partition("/")
    if "@" in bucket:
        raise UsageError(
            f"{without_login(url)!r} was given with credentials in it",
            hint="leave them out; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    if not BUCKET_NAME.match(bucket):
        raise UsageError(f"{url!r} names no bucket", hint="write s3://bucket/prefix")
    prefix = prefix.strip("/")
    if prefix:
        check_name(prefix)
    return S3Store(bucket, prefix)
