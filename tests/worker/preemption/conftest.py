"""Stubs of the clouds' metadata servers, and watchers of them in quick time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.clouds import CloudStub, Watching
from worker.preemption import gcp, watcher


@pytest.fixture(params=["aws", "gcp", "azure"])
def cloud(request: pytest.FixtureRequest) -> Iterator[CloudStub]:
    with CloudStub(request.param) as stub:
        yield stub


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick repetitions; `Watching` has half-second timeouts."""
    monkeypatch.setattr(watcher, "AGAIN_AFTER_S", (0.02,))
    monkeypatch.setattr(watcher, "DETECT_AGAIN_AFTER_S", (0.05, 0.05))
    monkeypatch.setattr(gcp, "WAIT_S", 1)
    monkeypatch.setattr(gcp, "PATIENCE_S", 0.5)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    """Start to watch a stub."""
    made: list[Watching] = []

    def start(stub: CloudStub, cloud: str = "auto") -> Watching:
        made.append(Watching(stub, cloud))
        return made[-1]

    yield start
    for watching in made:
        watching.watcher.close()
