"""What a test needs is read from where it lies and from its fixtures; nobody marks it by hand.

`integration`  real servers or processes
`torch`        torch, which takes seconds to import

A test without the mark `integration` that starts a server fails, and so does one that imports
torch in a run which leaves torch out: `make test-fast` is a promise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import Server

TESTS = Path(__file__).parents[1]

INTEGRATION_PLACES = ("integration",)
SERVERS = {"valkey_server", "s3_server", "running_farm"}

#: Files that import torch themselves. Where torch is left out, they are not even read.
TORCH_PLACES = ("worker/assets", "worker/engine", "worker/tiny", "tiny_world/test_variants.py")
LIBRARIES = {"compel", "diffusers", "transformers"}


def mark(item: pytest.Item) -> None:
    fixtures = set(getattr(item, "fixturenames", ()))
    chosen = getattr(item, "callspec", None)
    on_s3 = chosen is not None and chosen.params.get("store_url") == "s3"
    if lies_in(item.path, INTEGRATION_PLACES) or fixtures & SERVERS or on_s3:
        item.add_marker("integration")
    if lies_in(item.path, TORCH_PLACES) or fixtures & LIBRARIES:
        item.add_marker("torch")


def lies_in(path: Path, places: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(TESTS / place) for place in places)


def is_left_out(path: Path, wanted: str) -> bool:
    """Whether no test of a file can be among those `wanted`, an expression of -m."""
    return _without_torch(wanted) and lies_in(path, TORCH_PLACES)


def _without_torch(wanted: str) -> bool:
    return "not torch" in wanted


@contextmanager
def keeping_its_word(item: pytest.Item) -> Iterator[None]:
    """Raises AssertionError where a test takes what it has no mark for."""
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("integration"):
            patch.setattr(Server, "start", _refuse)
        yield
    if _without_torch(item.config.option.markexpr):
        assert "torch" not in sys.modules, "without the mark torch, it was imported"


def _refuse(server: Server) -> None:
    raise AssertionError(f"a test without the mark integration starts {server.command[0]}")
