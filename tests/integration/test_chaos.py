"""The short form of `make chaos`: few faults of each kind, and nothing that is measured."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.jobs import as_figures, storm
from tests.chaos.storm import Plan
from tests.support.pool import Pool
from tests.support.servers import valkey

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHORT = Plan(
    jobs=100,
    ms_per_step=60,
    killed=3,
    vanished=1,
    preempted=2,
    broker_killed=1,
    broker_away_s=(0.5, 1.0),
    cut=3,
    wiped=1,
    last=0.35,
    most_s=180,
)


def test_nothing_is_lost_or_mixed_up(tmp_path: Path) -> None:
    """Under killed processes, machines that vanish or are preempted, a broker that is killed and
    one that forgets everything, and cut connections: each job is stored, with its own pixels and
    its own Job inside, none is failed, and little is rendered in vain."""
    result = storm(SHORT, tmp_path, str(tmp_path / "store"), seed=1)
    short = [str(figure) for figure in as_figures(SHORT, result) if not figure.met]
    assert not short, "\n".join([*short, *result.facts])


def test_a_worker_that_could_acknowledge_nothing_takes_more(tmp_path: Path) -> None:
    """The broker dies while every thread has a message, and comes back when all have given up
    theirs: a place that kombu could not free is free all the same."""
    with valkey(tmp_path / "broker") as broker:
        pool = Pool(broker.url, tmp_path)
        pool.submit(12)
        pool.start("lone", "--ms-per-step=300")
        try:
            pool.renders("lone")
            broker.kill()
            pool.eventually(lambda: pool.log("lone").count(": the broker at ") >= 3)
            time.sleep(1)  # until the last has tried to acknowledge its message
            broker.start()
            before = pool.log("lone").count(" rendered in ")
            pool.eventually(lambda: pool.log("lone").count(" rendered in ") > before + 3)
        finally:
            pool.end()
