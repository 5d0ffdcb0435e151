"""Hashes that are remembered: believed as long as the file is the one that was hashed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.assets import FileHashes, file_hashes
from common.errors import InputFileError

DATA = b"some weights"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, in order."""
    paths: list[Path] = []
    read = file_hashes.sha256_file
    monkeypatch.setattr(file_hashes, "sha256_file", lambda p, _=None: (paths.append(p), read(p))[1])
    return paths


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file of the test had been written an hour ago."""
    monkeypatch.setattr(file_hashes, "SETTLED_NS", -3600 * 10**9)


def hashed(cache: Path, file: Path) -> str:
    """As a command does it."""
    hashes = FileHashes(cache)
    sha256 = hashes.sha256(file)
    hashes.save()
    return sha256


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once(cache: Path, file: Path, reads: list[Path]) -> None:
    assert [hashed(cache, file) for _ in range(3)] == [SHA256] * 3
    assert len(reads) == 1
    assert FileHashes(cache).paths_of(SHA256) == [file]


def test_of_a_large_file_it_is_told_how_far_it_is(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "LARGE", 5_000_000)
    large = tmp_path / "unet" / "weights"
    large.parent.mkdir()
    large.write_bytes(bytes(5_000_000))
    told: list[tuple[str, int, int]] = []
    hashes = FileHashes(None, progress=lambda *what: told.append(what))
    hashes.sha256(file)
    hashes.sha256(large)
    assert {what for what, _, _ in told} == {"hashing unet/weights, MB"}
    assert [(done, of) for _, done, of in told] == [(done, 5) for done in (1, 2, 3, 4, 5)]


@pytest.mark.usefixtures("settled")
def test_the_same_file_under_a_relative_path(
    cache: Path, file: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed(cache, file)
    monkeypatch.chdir(file.parent)
    assert hashed(cache, Path(file.name)) == SHA256
    assert len(reads) == 1


def write_over(file: Path) -> None:
    """In place, of the same size, and with the old time set again."""
    before = file.stat()
    file.write_bytes(DATA[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_in_its_place(file: Path) -> None:
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(DATA[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [write_over, put_in_its_place])
def test_a_change_is_seen(cache: Path, file: Path, change: Callable[[Path], None]) -> None:
    hashed(cache, file)
    change(file)
    assert hashed(cache, file) == hashlib.sha256(DATA[::-1]).hexdigest()
    assert FileHashes(cache).paths_of(SHA256) == []


def test_a_file_that_was_just_written_is_not_believed(
    cache: Path, file: Path, reads: list[Path]
) -> None:
    """A clock's tick may not have passed: written again now, it would look the same."""
    assert [hashed(cache, file) for _ in range(2)] == [SHA256] * 2
    assert len(reads) == 2


def test_a_file_that_is_written_while_it_is_read_is_refused(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path, _: object) -> str:
        with path.open("ab") as growing:
            growing.write(b"more")
        return SHA256

    monkeypatch.setattr(file_hashes, "sha256_file", slow)
    with pytest.raises(InputFileError, match=r"model\.safetensors was written while") as trouble:
        hashed(cache, file)
    assert "wait until it is whole" in trouble.value.hint
    assert FileHashes(cache).find(SHA256) is None


def test_a_file_that_cannot_be_read_is_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*gone: No such file"):
        hashed(cache, tmp_path / "gone")


@pytest.mark.usefixtures("settled")
def test_anew_everything_is_read(cache: Path, file: Path, reads: list[Path]) -> None:
    """And what is found then is believed again: a memory that is wrong mends so."""
    hashed(cache, file)
    memory = cache / file_hashes.FILE
    memory.write_text(memory.read_text().replace(SHA256, "0" * 64))
    assert hashed(cache, file) == "0" * 64
    anew = FileHashes(cache, anew=True)
    assert [anew.sha256(file) for _ in range(2)] == [SHA256] * 2
    anew.save()
    assert len(reads) == 2
    assert hashed(cache, file) == SHA256


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"/a": 3}', b'{"/a": {"stamp": {}}}', b"\xff", b"[" * 100_000],
    ids=range(7),
)
def test_a_damaged_memory_is_an_empty_one(cache: Path, file: Path, damage: bytes) -> None:
    cache.mkdir()
    (cache / file_hashes.FILE).write_bytes(damage)
    assert hashed(cache, file) == SHA256
    assert FileHashes(cache).find(SHA256)


@pytest.mark.usefixtures("settled")
def test_files_that_are_gone_are_forgotten(cache: Path, file: Path, tmp_path: Path) -> None:
    hashed(cache, file)
    file.unlink()
    (tmp_path / "another").write_bytes(b"x")
    hashed(cache, tmp_path / "another")
    assert list(json.loads((cache / file_hashes.FILE).read_bytes())) == [str(tmp_path / "another")]


@pytest.mark.parametrize("trouble", ["no folder", "held by another process"])
def test_where_nothing_can_be_remembered_files_are_hashed(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(file_hashes, "LOCK_PAUSE_S", 0)
    if trouble == "no folder":
        cache.write_bytes(b"a file")
        assert hashed(cache, file) == SHA256
        return
    cache.mkdir()
    with (cache / file_hashes.LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert hashed(cache, file) == SHA256
    assert FileHashes(cache).find(SHA256) is None


REMEMBERS = """
import sys
from pathlib import Path
from common.assets import FileHashes
for name in sys.argv[2:]:
    hashes = FileHashes(Path(sys.argv[1]))
    hashes.sha256(Path(name))
    hashes.save()
"""


def test_processes_lose_nothing_of_each_other(cache: Path, tmp_path: Path) -> None:
    groups = [[tmp_path / f"{process}-{n}" for n in range(15)] for process in range(4)]
    paths = [path for group in groups for path in group]
    for path in paths:
        path.write_text(path.name)
    processes = [
        subprocess.Popen([sys.executable, "-c", REMEMBERS, str(cache), *map(str, group)])
        for group in groups
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    remembered = FileHashes(cache)
    for path in paths:
        assert remembered.paths_of(hashlib.sha256(path.name.encode()).hexdigest()) == [path]
