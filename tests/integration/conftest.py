"""A farm that draws, for all tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import Ministack, valkey
from tests.support.tiny_farm import TinyFarm, tiny_farm


@pytest.fixture(scope="session", params=["folder", "s3"])
def running_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, session_cache: Path
) -> Iterator[TinyFarm]:
    """One for the run; see `farm`."""
    folder = tmp_path_factory.mktemp("farm")
    with valkey(folder / "broker") as server:
        settings = {"GRIDFARM_BROKER": server.url, "GRIDFARM_STORE": str(folder / "store")}
        if request.param == "s3":
            s3: Ministack = request.getfixturevalue("s3_server")
            settings |= s3.environment | {"GRIDFARM_STORE": f"s3://{s3.bucket}/farm"}
        settings |= {"GRIDFARM_CACHE": str(session_cache), "GRIDFARM_CLOUD": "none"}
        with tiny_farm(folder, settings) as farm:
            yield farm


@pytest.fixture
def farm(running_farm: TinyFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TinyFarm:
    """On a folder and on an S3 server; its settings are in this process' environment too, but for
    the cache: the workers are as if on another machine, and have local files from the store."""
    for name, value in running_farm.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
    return running_farm
