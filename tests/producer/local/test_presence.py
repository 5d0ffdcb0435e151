"""One render at a time works on a store from this machine, and others see it; the lock is a dead
process' no more."""

from __future__ import annotations

import multiprocessing
import stat
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from common.broker import Broker
from common.errors import UsageError
from producer.local.presence import Presence

BROKER = "redis://:secret@127.0.0.1:1/0"


def hold(store: str, cache: Path, ready: Connection) -> None:
    """Of another process: hold the lock until it is killed."""
    with Presence.of(store, cache).held() as held:
        assert held
        ready.send("held")
        ready.recv()
        held.announce(Broker(BROKER))
        ready.send("announced")
        ready.recv()


def test_who_holds_it_is_seen_and_who_is_killed_is_not(tmp_path: Path) -> None:
    store, (here, there) = str(tmp_path / "store"), multiprocessing.Pipe()
    presence = Presence.of(store, tmp_path)
    assert presence.look() is None
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=hold, args=(store, tmp_path, there))
    process.start()
    try:
        assert here.recv() == "held"
        assert presence.look() is None  # it has no broker yet
        with presence.held() as held:
            assert held is None
        here.send("go on")
        assert here.recv() == "announced"
        other = presence.look()
        assert other
        assert (other.pid, other.broker_url) == (process.pid, BROKER)
        assert stat.S_IMODE(presence.path.stat().st_mode) == 0o600
    finally:
        process.kill()
        process.join()
    assert presence.look() is None
    with presence.held() as held:
        assert held


def test_when_it_ends_nothing_of_it_stays(tmp_path: Path) -> None:
    presence = Presence.of("s3://bucket", tmp_path)
    with presence.held() as held:
        assert held
        held.announce(Broker(BROKER))
        assert "secret" in presence.path.read_text()
    assert presence.path.read_text() == ""


def test_one_folder_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    of_link = Presence.of(str(tmp_path / "link"), tmp_path)
    assert of_link == Presence.of(str(tmp_path / "store"), tmp_path)
    assert of_link != Presence.of(str(tmp_path / "other"), tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with (
        pytest.raises(UsageError, match="cannot write") as caught,
        Presence.of("s3://bucket", tmp_path / "cache").held(),
    ):
        pass
    assert "--cache" in (caught.value.hint or "")


def test_a_bucket_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        seen.add(Presence.of("s3://bucket/x", tmp_path).path)
    assert len(seen) == 1
