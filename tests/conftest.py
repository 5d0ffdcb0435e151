"""Fixtures for all rooms: an isolated environment, a broker, and stores on real servers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from common.dispatch import Ledger
from common.store import Store, open_store, s3
from tests.support import kinds
from tests.support.servers import Ministack, Valkey, ministack, valkey
from tests.support.troubled_s3 import IMPATIENT

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
# Several test processes share the cores, and OpenMP's threads spin while they wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return kinds.is_left_out(collection_path, config.option.markexpr) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kinds.mark(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with kinds.keeping_its_word(item):
        return (yield)


@pytest.fixture(scope="session")
def compel() -> ModuleType:
    """A library as a fixture, which gives its test the mark `torch`."""
    import compel
    import pyparsing

    pyparsing.ParserElement.enable_packrat(cache_size_limit=None)
    return compel


@pytest.fixture(scope="session")
def diffusers() -> ModuleType:
    import diffusers

    return diffusers


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    import transformers

    return transformers


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that all processes of a run share: what is dear to make is left there by the first."""
    mine = tmp_path_factory.getbasetemp()
    return mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for the whole run, so that the tiny SDXL is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def isolated_environment(
    monkeypatch: pytest.MonkeyPatch, session_cache: Path, tmp_path: Path
) -> None:
    """No setting, credential, profile or last batch of the machine reaches a test."""
    for name in os.environ:
        if name.startswith(("GRIDFARM_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GRIDFARM_CACHE", str(session_cache))
    (session_cache / "last-batch").unlink(missing_ok=True)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GRIDFARM_CLOUD", "none")


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The run's broker. A test that kills one starts its own (`tests.support.servers`)."""
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def broker(valkey_server: Valkey) -> str:
    """The redis:// URL of an empty broker."""
    import redis

    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture
def ledger(broker: str) -> Ledger:
    """Of an empty broker."""
    return Ledger(broker)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """The run's S3 server. A test that kills one starts its own (`tests.support.servers`)."""
    with ministack(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_store_url(s3_server: Ministack, monkeypatch: pytest.MonkeyPatch) -> str:
    """s3://bucket/<unique prefix>, with the credentials in this process' environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def impatient_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process an S3 server is asked twice, and not five times."""
    monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(IMPATIENT))


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store lies: a folder, or a prefix on a real S3 server."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("s3_store_url"))


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)
