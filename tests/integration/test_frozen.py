"""A machine that freezes and wakes (see tests/chaos/frozen.py, which measures it in 21 runs)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.frozen import Run, freezer
from tests.support.servers import valkey

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def at_work(folder: Path) -> Run:
    with valkey(folder / "broker") as broker, freezer(broker.url, folder) as machines:
        machines.wakes_late(machines.while_it_renders())
        machines.ends()
        return machines.run


def idle(folder: Path) -> Run:
    with valkey(folder / "broker") as broker, freezer(broker.url, folder) as machines:
        machines.just_before_a_push()
        machines.ends()
        return machines.run


def test_a_machine_that_freezes_loses_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    """Its three cells are rendered elsewhere, it wakes, changes nothing and works again. Another
    one freezes idle just before a push: the task is found. Both at once, to wait but once."""
    (tmp_path / "work").mkdir()
    (tmp_path / "idle").mkdir()
    with ThreadPoolExecutor(2) as pool:
        began = pool.submit(at_work, tmp_path / "work"), pool.submit(idle, tmp_path / "idle")
        work, lost = (run.result() for run in began)
    assert 9 < work.elsewhere_s < 40
    assert 14 < lost.lost_s < 40
    assert (work.failed, work.changed, lost.failed) == (0, 0, 0)
    assert (work.stored, lost.stored) == (14, 1)
    assert (work.came_back, lost.came_back) == (True, True)
