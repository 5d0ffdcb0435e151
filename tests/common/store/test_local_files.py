"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from common.store import link, prepared
from common.store.local_files import share
from tests.support.files import cloning, names_in, raising


def test_a_prepared_file_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    with prepared(tmp_path / "file") as partial:
        partial.write_text("new")
        assert (tmp_path / "file").read_text() == "old"

    assert (tmp_path / "file").read_text() == "new"
    assert names_in(tmp_path) == ["file"]


def test_a_prepared_folder_appears_with_all_that_is_in_it(tmp_path: Path) -> None:
    with prepared(tmp_path / "new" / "folder") as partial:
        (partial / "deep").mkdir(parents=True)
        assert not (tmp_path / "new" / "folder").exists()

    assert names_in(tmp_path / "new" / "folder") == ["deep"]
    assert names_in(tmp_path / "new") == ["folder"]


def test_of_two_that_prepare_a_folder_the_first_ones_stays(tmp_path: Path) -> None:
    with prepared(tmp_path / "folder") as late:
        late.mkdir()
        (late / "late").touch()
        with prepared(tmp_path / "folder") as first:
            first.mkdir()
            (first / "first").touch()

    assert names_in(tmp_path / "folder") == ["first"]
    assert names_in(tmp_path) == ["folder"]


def test_a_folder_never_takes_a_files_place(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")

    with pytest.raises(OSError), prepared(tmp_path / "there") as partial:
        partial.mkdir()

    assert (tmp_path / "there").read_text() == "a file"
    assert names_in(tmp_path) == ["there"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RuntimeError), prepared(tmp_path / "there") as partial:
        if kind == "folder":
            (partial / "deep").mkdir(parents=True)
        else:
            partial.write_text("half")
        raise RuntimeError

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_file_gets_a_second_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Over what was there; a copy on a file system that has no links."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "second").write_text("old")
    if not links:
        monkeypatch.setattr("os.link", raising(errno.EPERM))

    link(tmp_path / "file", tmp_path / "second")

    assert (tmp_path / "second").read_text() == "content"
    assert (tmp_path / "second").samefile(tmp_path / "file") == links
    assert sorted(names_in(tmp_path)) == ["file", "second"]


@pytest.mark.parametrize("clones", [True, False], ids=["clones", "links alone"])
def test_a_file_is_shared_without_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    """A clone where there are such: it stays what it is when the other file is written to."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "other").write_text("old")
    monkeypatch.setattr(fcntl, "ioctl", cloning if clones else raising(errno.EOPNOTSUPP))

    assert share(tmp_path / "file", tmp_path / "other")

    assert (tmp_path / "other").read_text() == "content"
    assert (tmp_path / "other").samefile(tmp_path / "file") != clones
    assert sorted(names_in(tmp_path)) == ["file", "other"]


def test_what_cannot_be_shared_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "other").write_text("old")
    for call in ("fcntl.ioctl", "os.link"):
        monkeypatch.setattr(call, raising(errno.EXDEV))

    assert not share(tmp_path / "file", tmp_path / "other")

    assert (tmp_path / "other").read_text() == "old"
    assert sorted(names_in(tmp_path)) == ["file", "other"]
