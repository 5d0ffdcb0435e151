"""From a URL to a store: what is taken, what is refused, what is never repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UsageError
from common.store import open_store


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

    def test_what_is_right_beyond_doubt_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for url, place in {
            " S3://bucket/x/ ": "s3://bucket/x",
            "file:/srv/renders": "/srv/renders",
            "renders of: May": str(tmp_path / "renders of: May"),
            "./s3:/bucket": str(tmp_path / "s3:" / "bucket"),
        }.items():
            assert open_store(url).url == place

    @pytest.mark.integration
    def test_no_trailing_slash_changes_the_place(self, s3_store_url: str) -> None:
        open_store(f"{s3_store_url}/").put("a", b"1")

        assert open_store(s3_store_url).get("a") == b"1"


def test_boto3_is_loaded_when_a_bucket_is_opened(tmp_path: Path) -> None:
    code = f"""
import sys
from common.store import open_store
open_store({str(tmp_path)!r}).put("a", b"1")
assert "boto3" not in sys.modules
open_store("s3://bucket/prefix")
assert "boto3" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("s3:/bucket/x", "did you mean s3://bucket/x?"),
        ("S3:bucket", "did you mean s3://bucket?"),
        ("s3//bucket", "did you mean s3://bucket?"),
        ("s3:///bucket/x", "did you mean s3://bucket/x?"),
        ("s3a://bucket/x", "did you mean s3://bucket/x?"),
        ("https://renders.s3.eu-west-1.amazonaws.com/x", "did you mean s3://renders/x?"),
        ("https://s3.amazonaws.com/renders/x", "did you mean s3://renders/x?"),
        ("http://minio:9000/bucket", "write s3://bucket and set AWS_ENDPOINT_URL_S3=http://minio:"),
        ("minio:9000/bucket", "a folder of this name is ./minio:9000/bucket"),
        ("nas:/export", "mount a folder of another machine"),
        ("me@nas:/export", "mount a folder of another machine"),
        ("file:renders", "file:///mnt/renders"),
        ("redis://host:6379/0", "that is a broker, for GRIDFARM_BROKER"),
        ('"s3://bucket/x"', "begins with a quote"),
        ("gs:bucket", "s3://bucket/prefix"),
        ("ftp://host/x", "s3://bucket/prefix"),
    ],
)
def test_no_folder_is_made_of_a_url_with_a_mistake(url: str, mend: str) -> None:
    """Nobody would fill it, and everybody wait."""
    with pytest.raises(UsageError, match="is not a store that gridfarm knows") as wrong:
        open_store(url)
    assert mend in wrong.value.hint


@pytest.mark.parametrize("url", ["s3:/key:hu/sh@bucket", "s3//key:hush@bucket"])
def test_a_mistake_shows_no_secret(url: str) -> None:
    with pytest.raises(UsageError) as wrong:
        open_store(url)
    assert "sh@" not in wrong.value.message + wrong.value.hint
