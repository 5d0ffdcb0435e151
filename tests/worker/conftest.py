"""The engine's fixtures: a store with a tiny LoRA, a renderer for the run, and fresh ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.store import Store, open_store

if TYPE_CHECKING:
    from worker.assets import Assets
    from worker.engine import Renderer


@pytest.fixture(scope="session")
def engine_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(str(tmp_path_factory.mktemp("engine-store")))


@pytest.fixture(scope="session")
def assets(engine_store: Store, session_cache: Path) -> Assets:
    from worker.assets import Assets

    return Assets(engine_store, session_cache)


@pytest.fixture
def fresh_renderer(assets: Assets) -> Callable[[], Renderer]:
    from worker.engine import Renderer

    return lambda: Renderer(assets, device="cpu", cpu_threads=1)


@pytest.fixture(scope="session")
def renderer(assets: Assets) -> Renderer:
    """One for the whole run: whatever the tests before did to it must not show."""
    from worker.engine import Renderer

    return Renderer(assets, device="cpu", cpu_threads=1)


@pytest.fixture(scope="session")
def tiny_folder(session_cache: Path) -> Path:
    """The tiny SDXL: `base`, `refiner` and its LoRAs."""
    from worker.assets.tiny_model import cached

    return cached(session_cache)


@pytest.fixture(scope="session")
def wrong(engine_store: Store) -> str:
    """The SHA-256 of the tiny model's LoRA `wrong`, an asset of the store."""
    from tests.support.engine import WRONG, put

    return put(engine_store, WRONG.read_bytes())
