"""cancel, resume, pause and retry --all as commands, on cells that real workers have in hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.control import steer
from tests.support.pool import Pool

pytestmark = pytest.mark.integration


def test_a_batch_is_steered_without_losing_a_cell(broker: str, tmp_path: Path) -> None:
    """Its figures but for the seconds, which belong to `make chaos`."""
    pool = Pool(broker, tmp_path)
    try:
        figures = list(steer(pool, cells=10, machines=1))
    finally:
        pool.end()
    short = [str(figure) for figure in figures if not figure.met and " s" not in figure.must]
    assert not short
