"""What counts as a stored picture, on a folder and on a real S3 server."""

from __future__ import annotations

import os
import uuid

import pytest

from common.picture import is_stored
from common.picture.png import encode_png
from common.store import Store, object_names, open_store
from tests.support.pictures import a_job, a_meta, an_image
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3

pytestmark = pytest.mark.integration

KEY = a_job().key
NAME = object_names.picture(KEY)


def test_a_picture_is_stored_once_it_is_there(store: Store) -> None:
    assert not is_stored(store, KEY)
    store.put(NAME, encode_png(an_image(), a_meta()))
    assert is_stored(store, KEY)


@pytest.mark.parametrize("prompt", ["", "🐺" * 2000, 'a "key":"' + "0" * 64])
def test_its_key_is_found_whatever_the_prompt(store: Store, prompt: str) -> None:
    meta = a_meta(prompt=prompt)
    store.put(object_names.picture(meta.job.key), encode_png(an_image(), meta))
    assert is_stored(store, meta.job.key)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"<html>Welcome</html>", KEY.encode() * 9])
def test_anything_else_under_its_name_is_no_picture(store: Store, data: bytes) -> None:
    store.put(NAME, data)
    assert not is_stored(store, KEY)


def test_the_picture_of_another_key_is_not_this_one(store: Store) -> None:
    store.put(NAME, encode_png(an_image(), a_meta(seed=8)))
    assert not is_stored(store, KEY)


def test_one_that_may_not_be_read_counts_as_there_once_it_is_listed(
    s3_store_url: str, s3_server: Ministack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its cell would be rendered for ever, as it cannot be seen that it is stored."""
    open_store(s3_store_url).put(NAME, encode_png(an_image(), a_meta()))
    user = s3_server.user(f"lister-{uuid.uuid4().hex}", ["s3:ListBucket"])
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    store = open_store(s3_store_url)
    assert is_stored(store, KEY)
    assert not is_stored(store, a_job(seed=8).key)


def test_a_web_server_at_the_address_has_no_pictures(
    s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers everything with 200, and gives ETags as file servers do."""
    port = int(os.environ["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])
    with TroubledS3(port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = open_store(s3_store_url)
        server.begin("web server")
        assert store.exists(NAME)
        assert not is_stored(store, KEY)
