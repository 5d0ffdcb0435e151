"""Renders on one machine and one store, at the same time and one after the other, with other
commands in a second terminal. The workers draw with a stub."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from common.store import open_store
from producer import Farm
from tests.integration.test_render import SLOW_STEPS, ended, pictures, start, wait_for, write
from tests.support.orders import pictures_in

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def asked(command: str, file: str, *arguments: str, code: int = 0) -> Any:
    """Its answer as JSON."""
    out, _ = ended(start(file, *arguments, "--json", command=command), code)
    return json.loads(out.splitlines()[-1])


def named(file: str, name: str, seeds: str) -> str:
    """The batch file under another name, with other seeds."""
    text = Path(file).read_text().replace("name: local", f"name: {name}")
    path = Path(file).with_name(f"{name}.yaml")
    path.write_text(text.replace("seeds: 1..2", f"seeds: {seeds}"))
    return str(path)


def begun(process: subprocess.Popen[str], words: str) -> str:
    """What it has said by then on stderr, line by line."""
    said = ""
    assert process.stderr
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_another_name_renders_nothing_again(tmp_path: Path) -> None:
    """And another folder below shares the store; both batches are listed there."""
    file = write(tmp_path / "local.yaml")
    ended(start(file, "--workers", "2"), 0)
    (tmp_path / "below").mkdir()
    other = named(file, "other", "1..2")
    below = Path(other).rename(tmp_path / "below" / "other.yaml")
    _, said = ended(start(str(below)), 0)
    assert "nothing to render, 8 of 8 stored" in said
    assert f"store: {tmp_path / 'gridfarm-out' / 'store'}" in said
    rows = Farm(store=tmp_path / "gridfarm-out" / "store").batches()
    assert sorted(row.batch.rpartition("-")[0] for row in rows) == ["local", "other"]
    assert len(pictures(tmp_path / "gridfarm-out")) == 8


def test_a_trial_leaves_the_view_of_the_whole_batch_alone(tmp_path: Path) -> None:
    file, view = write(tmp_path / "local.yaml"), tmp_path / "gridfarm-out" / "local"
    ended(start(file, "--workers", "2"), 0)
    before = {path: path.read_bytes() for path in view.rglob("*.png")}
    _, said = ended(start(file, "--set", "steps=2", "--limit", "2"), 0)
    assert "2 pictures to render" in said
    assert {path: path.read_bytes() for path in before} == before
    shown = {
        str(path.relative_to(view / "trial-steps-2-limit-2"))
        for path in (view / "trial-steps-2-limit-2").rglob("*.png")
    }
    assert shown == {"grid.png", "images/wolf/s1/base.png", "images/wolf/s1/wrong.png"}


def test_a_named_store_is_shared_and_the_place_is_not_made(tmp_path: Path) -> None:
    """What a farm has stored is not rendered again, and the other way round."""
    file, store = write(tmp_path / "local.yaml"), tmp_path / "farms"
    _, said = ended(start(file, "--store", str(store), "--workers", "2"), 0)
    assert "store:" not in said
    assert pictures_in(open_store(str(store))) == 8
    assert not (tmp_path / "gridfarm-out" / "store").exists()
    again, said = ended(start(named(file, "again", "1..2"), "--store", str(store)), 0)
    assert "nothing to render, 8 of 8 stored" in said
    assert f"open @last --store {store}" in again


def test_a_second_terminal_follows(tmp_path: Path) -> None:
    """status, watch, pause, resume and rm see the render that is at work."""
    file = write(tmp_path / "local.yaml", steps=SLOW_STEPS)
    process = start(file)
    wait_for(tmp_path / "gridfarm-out", 1)
    status = asked("status", file)
    assert (status["state"], status["workers"]) == ("rendering", 1)
    assert asked("pause", file)["state"] == "paused"
    refused, _ = ended(start(file, "--yes", "--json", command="rm"), 2)
    assert "not finished" in refused
    assert asked("resume", file)["state"] in ("rendering", "queued")
    followed, _ = ended(start(file, command="watch"), 0)
    assert "8/8, done" in followed or "8 of 8 pictures stored" in followed
    ended(process, 0)


def test_a_second_render_joins_and_nothing_is_rendered_twice(tmp_path: Path) -> None:
    """The same file, and another that has half of its pictures in common."""
    file = write(tmp_path / "local.yaml", steps=SLOW_STEPS)
    first = start(file, "--workers", "2")
    wait_for(tmp_path / "gridfarm-out", 1)
    same, other = start(file), start(named(file, "other", "2..3"))
    for process in (same, other):
        begun(process, f"process {first.pid} renders into this store")
    for process in (first, same, other):
        ended(process, 0)
    assert len(pictures(tmp_path / "gridfarm-out")) == 12
    log = (tmp_path / "gridfarm-out" / "local" / "workers.log").read_text()
    other_log = tmp_path / "gridfarm-out" / "other" / "workers.log"
    log += other_log.read_text() if other_log.exists() else ""
    assert log.count(" begins ") == 12
    for name, count in (("local", 8), ("other", 8)):
        assert len([*(tmp_path / "gridfarm-out" / name / "images").rglob("*.png")]) == count


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_who_joined_goes_on_when_the_first_has_ended(tmp_path: Path, how: signal.Signals) -> None:
    file = write(tmp_path / "local.yaml", steps=SLOW_STEPS)
    first = start(file)
    wait_for(tmp_path / "gridfarm-out", 1)
    second = start(named(file, "other", "2..3"))
    begun(second, "pictures to render")
    first.send_signal(how)
    first.communicate()
    _, said = ended(second, 0)
    assert f"process {first.pid} has ended; this render goes on by itself" in said
    stopped = asked("status", file)
    assert stopped["state"] == "stopped"
    _, said = ended(start(file), 0)
    assert " stored already" in said or "nothing to render, 8 of 8 stored" in said


def test_ctrl_c_takes_back_what_was_given_to_another(tmp_path: Path) -> None:
    file = write(tmp_path / "local.yaml", steps=SLOW_STEPS)
    first = start(file)
    wait_for(tmp_path / "gridfarm-out", 1)
    second = start(named(file, "other", "3..4"))
    begun(second, "pictures to render")
    time.sleep(0.5)
    second.send_signal(signal.SIGINT)
    ended(second, 130)
    ended(first, 0)
    assert asked("status", str(tmp_path / "other.yaml"))["state"] == "stopped"
    assert 8 <= len(pictures(tmp_path / "gridfarm-out")) < 16


def test_who_has_no_broker_is_not_sent_for_one(tmp_path: Path) -> None:
    """A watch that comes too late says how it ended; retry, that the same render draws again."""
    file = write(tmp_path / "local.yaml")
    ended(start(file, "--workers", "2"), 0)
    followed, _ = ended(start(file, command="watch"), 0)
    assert "8 of 8 pictures stored" in followed
    _, said = ended(start(file, command="retry"), 2)
    assert "the same gridfarm render FILE goes on with a batch" in said


def test_what_a_render_has_and_what_the_farm_has_is_removed_apart(
    broker: str, tmp_path: Path
) -> None:
    """Each is stopped by its own ledger: the other would not have heard of it."""
    file = write(tmp_path / "local.yaml", steps=SLOW_STEPS)
    store = str(tmp_path / "gridfarm-out" / "store")
    farm = Farm(broker=broker, store=store)
    ordered = farm.submit(named(file, "ordered", "5..6")).batch
    process = start(file)
    wait_for(tmp_path / "gridfarm-out", 1)
    servers = ("--broker", broker, "--store", store)
    both = ("--cancel", "--yes", *servers)
    refused, said = ended(start(file, ordered, *both, command="rm"), 2)
    assert f"{ordered} is the farm's" in refused + said
    assert farm.status(ordered).state == "queued"
    ended(start(str(tmp_path / "ordered.yaml"), *both, command="rm"), 0)
    ended(start(file, *both, command="rm"), 0)
    process.communicate(timeout=60)
    assert list(farm.batches()) == []
