"""cancel, resume, pause and retry --all as commands, on cells that real workers have in hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.control import steer
from tests.chaos.steering import storm
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


def test_steering_at_random_loses_no_picture_and_leaves_none(broker: str, tmp_path: Path) -> None:
    """A few seconds of `make chaos` steering: six batches that share pictures, three people."""
    pool = Pool(broker, tmp_path)
    try:
        figures = list(storm(pool, seed=7, seconds=6))
    finally:
        pool.end()
    assert not [str(figure) for figure in figures if not figure.met]
