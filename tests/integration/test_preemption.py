"""Machines that go, hang or are bad: real worker processes and launchers, a real broker, and a
renderer that only sleeps (tests/support/stub_worker.py), so that a step takes as long as is said
here."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.batch import Matrix
from common.dispatch import queue_name
from tests.support.clouds import CloudStub
from tests.support.pool import Pool
from worker.supervisor import LEFT, QUARANTINED, STALLED

pytestmark = pytest.mark.integration

STEP_MS = 200
#: A hundred seconds a cell.
LONG = ["--steps=500", f"--ms-per-step={STEP_MS}"]
QUICK = ["--steps=2", "--ms-per-step=5"]
#: For two cores that other tests share; `make chaos` prints the figures.
SLACK_S = 1.5


@pytest.fixture
def pool(broker: str, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(broker, tmp_path)
    yield made
    made.end()


CLOUDS = ["aws", "gcp", "azure"]


@pytest.mark.parametrize("cause", [*CLOUDS, "second SIGTERM", "SIGINT"])
def test_what_does_not_fit_is_back_within_a_step(pool: Pool, cause: str) -> None:
    """From notice to the queue in a second and one step, and another worker has it at once;
    no attempt is charged for it and the launcher ends cleanly."""
    pool.submit(3)
    with CloudStub(cause) as cloud:
        clouds = [f"--cloud={cause}", f"--metadata-url={cloud.url}"] if cause in CLOUDS else []
        going = pool.start("going", "--launcher=1", "--grace=1000", *clouds, *LONG)
        pool.renders("going")
        pool.start("staying", *LONG)
        pool.listens("staying")
        if cause in CLOUDS:
            cloud.take_away(seconds=20)
        elif cause == "SIGINT":
            going.send_signal(signal.SIGINT)
        else:
            going.send_signal(signal.SIGTERM)
            time.sleep(1.2)
            going.send_signal(signal.SIGTERM)
        took = pool.eventually(lambda: not pool.held_by("going"))
        assert took < 1 + STEP_MS / 1000 + SLACK_S
        assert pool.eventually(lambda: len(pool.held_by("staying")) == 3) < 5
        assert going.wait(20) == LEFT
    assert pool.log("going").count("handed back") >= 3
    assert "left: " in pool.log("going")
    assert all(machines == ["staying"] for machines in pool.charges().values())


def test_what_fits_is_finished_and_stored(pool: Pool) -> None:
    """The cell on the GPU alone; those behind it go back before it is done."""
    pool.submit(3)
    with CloudStub("aws") as cloud:
        steps = ["--steps=15", f"--ms-per-step={STEP_MS}"]
        url = f"--metadata-url={cloud.url}"
        going = pool.start("going", "--launcher=1", "--cloud=auto", url, *steps)
        pool.renders("going")
        cloud.take_away(seconds=60)
        pool.eventually(lambda: len(pool.held_by("going")) == 1)
        assert pool.counts == (0, 0)
        assert going.wait(30) == LEFT
    assert pool.counts == (1, 0)
    assert "AWS will terminate this machine" in pool.log("going")
    assert pool.log("going").count("handed back") == 2


def test_the_first_sigterm_is_a_notice_of_the_grace(pool: Pool) -> None:
    """Sent to launcher and process alike within a moment, as systemd does it, it is one."""
    pool.submit(3)
    steps = ["--steps=10", f"--ms-per-step={STEP_MS}"]
    going = pool.start("going", "--grace=30", *steps)
    pool.renders("going")
    going.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    going.send_signal(signal.SIGTERM)
    assert going.wait(20) == LEFT
    assert pool.counts == (1, 0)


def test_a_model_that_is_loading_keeps_nobody(pool: Pool) -> None:
    """Loading cannot be stopped: its cell goes back and the process ends without it."""
    pool.submit(3)
    going = pool.start("going", "--load-ms=60000", *LONG)
    pool.eventually(lambda: len(pool.held_by("going")) == 3)
    going.send_signal(signal.SIGTERM)
    assert pool.eventually(lambda: not pool.held_by("going")) < 1 + SLACK_S
    assert going.wait(20) == LEFT
    assert pool.charges() == {}
    assert pool.ledger.workers.alive() == []


def test_what_hangs_at_the_deadline_is_handed_back(pool: Pool) -> None:
    """A single step that is longer than the notice."""
    pool.submit(1)
    going = pool.start("going", "--steps=1", "--ms-per-step=60000", "--grace=2")
    pool.renders("going", waiting=0)
    going.send_signal(signal.SIGTERM)
    assert going.wait(10) == LEFT
    assert (pool.held_by("going"), pool.charges(), pool.counts) == ([], {}, (0, 0))


def test_a_poison_job_fails_alone(pool: Pool) -> None:
    """It hangs whatever renders it; after three attempts it is failed with that reason. The
    others are stored, each with its own picture, by processes started again."""
    pool.submit(8)
    pool.start("lone", "--launcher=1", "--back-off=0.1", "--stall-seeds=5", "--stall=0.5", *QUICK)
    pool.eventually(lambda: sum(pool.counts) == 8, seconds=120)
    assert pool.counts == (7, 1)
    assert list(pool.ledger.failures(pool.batch.id)) == [5]
    assert "given up after 3 attempts" in pool.ledger.failures(pool.batch.id)[5]
    assert pool.right_pictures() == 7


def test_a_stalled_process_says_so_and_hands_back_the_rest(pool: Pool) -> None:
    """At once, and not after the lease; only the job that stood still was charged."""
    pool.submit(3)
    process = pool.start("hung", "--stall=0.5", "--stall-seeds", "0", "1", "2")
    assert process.wait(30) == STALLED
    assert pool.held_by("hung") == []
    assert list(pool.charges().values()) == [["hung"]]
    assert "no progress in a render for" in pool.log("hung")


def test_a_bad_machine_takes_itself_out(pool: Pool) -> None:
    """Once more with a fresh process, and no third time; no cell is failed by it, what it
    says is seen, and another machine renders everything."""
    pool.submit(16)
    pool.start("good", "--steps=1", "--ms-per-step=2500", "--threads=1")
    pool.listens("good")
    bad = pool.start("bad", "--launcher=1", "--back-off=0.1", "--fail-all", *QUICK)
    assert bad.wait(60) == 1
    assert pool.counts[1] == 0
    assert pool.log("bad").count("different jobs in a row failed on bad") == 2
    assert "no other is started" in pool.log("bad")
    seen = [w for w in pool.ledger.workers.alive() if w.machine == "bad"]
    assert [w.state for w in seen] == ["paused", "paused"]
    assert "5 different jobs in a row failed on bad" in seen[0].message


def test_a_quarantined_process_ends_with_its_own_code(pool: Pool) -> None:
    pool.submit(8)
    assert pool.start("bad", "--fail-all", *QUICK).wait(30) == QUARANTINED


def test_the_json_log_has_a_line_for_each_job(pool: Pool) -> None:
    pool.submit(3)
    pool.start("w", "--log-format=json", *QUICK)
    pool.eventually(lambda: pool.counts == (3, 0))
    lines = [json.loads(line) for line in pool.log("w").splitlines()]
    jobs = {line["cell"]: line for line in lines if "seconds" in line}
    assert sorted(jobs) == [0, 1, 2]
    assert jobs[1]["batch"] == pool.batch.id
    assert jobs[1]["key"] == [cell.key for cell in Matrix(pool.batch)][1]


def test_a_process_that_was_killed_is_started_again(pool: Pool) -> None:
    """SIGKILL: its cells come back when their leases run out; the launcher ends cleanly."""
    pool.submit(2)
    launcher = pool.start("farm", "--launcher=1", "--back-off=0.1", *QUICK)
    pool.eventually(lambda: pool.counts == (2, 0))
    name = next(w.name for w in pool.ledger.workers.alive())
    os.kill(int(name.split("-")[-2]), signal.SIGKILL)
    pool.eventually(lambda: any(w.name != name for w in pool.ledger.workers.alive()))
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(20) == 0
    assert [w.name for w in pool.ledger.workers.alive()] in ([], [name])


def test_a_handed_back_cell_lies_on_the_queue(pool: Pool) -> None:
    """With nobody to take it: a message, not a wait for the next tick."""
    pool.submit(3)
    going = pool.start("going", *LONG)
    pool.renders("going")
    assert pool.ledger.redis.llen(queue_name()) == 0
    going.send_signal(signal.SIGINT)
    assert going.wait(20) == LEFT
    assert pool.ledger.redis.llen(queue_name()) == 3


def test_what_is_taken_from_the_queue_too_late_is_put_back(pool: Pool) -> None:
    """However the end meets the consumer: all that was sent and not claimed is on the queue."""
    pool.submit(3000)
    going = pool.start("going", "--steps=1", "--ms-per-step=1", "--threads=8")
    pool.eventually(lambda: pool.counts[0] > 20)
    going.send_signal(signal.SIGTERM)
    assert going.wait(20) == LEFT
    waiting = pool.ledger.redis.zcard(f"gridfarm:batch:{pool.batch.id}:sent")
    assert pool.ledger.redis.llen(queue_name()) == waiting > 0
