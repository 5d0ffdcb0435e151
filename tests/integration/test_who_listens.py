"""A batch that waits, although workers are there: every command says why, and who listens
instead."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.dispatch import FarmStore
from common.errors import BrokerError
from common.store import open_store
from producer import Farm
from producer.batches import absence
from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.servers import Valkey, valkey

pytestmark = pytest.mark.integration

QUICK = ("--steps=2", "--ms-per-step=5")
FILE = "name: night\nmodel: tiny\nsettings: {{noise: {noise}}}\nprompts: [x]\nseeds: 1..3\n"

Cli = Callable[..., str]


@pytest.fixture
def pool(broker: str, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(broker, tmp_path)
    yield made
    made.end()


@pytest.fixture
def gridfarm(pool: Pool, capsys: pytest.CaptureFixture[str]) -> Cli:
    """All that a command says."""

    def call(*arguments: str, store: str = "") -> str:
        run([*arguments, f"--broker={pool.broker}", f"--store={store or pool.store_url}"])
        return "".join(capsys.readouterr())

    return call


def written(folder: Path, noise: str = "cpu") -> str:
    path = folder / "night.yaml"
    path.write_text(FILE.format(noise=noise))
    return str(path)


def test_a_kind_of_worker_that_is_missing_is_said(
    pool: Pool, gridfarm: Cli, tmp_path: Path
) -> None:
    """For cells that need CUDA, and for a GPU type, with two workers on the CPU."""
    for name in ("one", "two"):
        pool.start(name, *QUICK)
        pool.listens(name)
    for noise, options, need in (
        ("cuda", (), "waits for a worker on CUDA (noise: cuda); 2 listen on the CPU"),
        ("cpu", ("--gpu", "L4"), "waits for a worker with --gpu l4; 2 listen on the CPU"),
    ):
        submitted = gridfarm("submit", written(tmp_path, noise), *options)
        assert f"\n  {need}\n" in submitted
        assert f"\n  {need}\n" in gridfarm("status")
        status = Farm(broker=pool.broker, store=pool.store_url).status()
        assert (status.workers, status.waits_for) == (0, need)
        assert f"queue     {need} (3 pictures left)" in gridfarm("doctor")


def test_a_store_that_is_another_is_seen_by_an_idle_worker_at_once(
    pool: Pool, gridfarm: Cli, tmp_path: Path
) -> None:
    """Two relative folders are two stores: the order of a first batch is enough for the worker to
    look, and submit, which cannot know, asks."""
    pool.start("lost", *QUICK, store=str(tmp_path / "elsewhere" / "store"))
    pool.listens("lost")
    farm_store = FarmStore(pool.store, pool.ledger)
    farm_store.adopt()  # and no cell to take, so that only the beat can tell
    pool.eventually(lambda: "paused: " in gridfarm("doctor"), seconds=60)
    said = gridfarm("doctor")
    assert f"{tmp_path}/elsewhere/store is not the store of the farm on {pool.broker}" in said
    assert f"which is {pool.store_url}; nothing was ever ordered in it" in said
    assert "set GRIDFARM_STORE to the farm's store" in pool.log("lost")
    file = written(tmp_path)
    for command in (["submit", file], ["status", file]):
        assert "\n  paused: lost-" in gridfarm(*command)


def test_a_worker_makes_no_folder_that_was_mistyped(pool: Pool, tmp_path: Path) -> None:
    """Where the farm has a store; before its first order any folder may become that."""
    mistyped = tmp_path / "stroe"
    command = [sys.executable, "-m", "worker.cli", f"--broker={pool.broker}", f"--store={mistyped}"]
    pool.submit(1)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert f"Error: {mistyped} is not the store of the farm" in ended.stderr
    assert not mistyped.exists()


def test_who_orders_first_is_asked_whether_two_names_are_one_store(
    pool: Pool, gridfarm: Cli, tmp_path: Path
) -> None:
    """Of a worker that has the same one by another name it is asked once, and then known."""
    link = tmp_path / "mounted here"
    Path(pool.store_url).mkdir()
    link.symlink_to(pool.store_url)
    pool.start("mounts", *QUICK, store=str(link))
    pool.listens("mounts")
    file = written(tmp_path)
    asked = f" has {link} as its store: is that the same as {pool.store_url}?"
    assert asked in gridfarm("submit", file)
    pool.eventually(lambda: pool.ledger.workers.alive()[0].store_id)
    assert "is that the same" not in gridfarm("submit", file, "--set", "steps=3")


def test_a_farm_that_moves_with_an_order_is_said(pool: Pool, gridfarm: Cli, tmp_path: Path) -> None:
    FarmStore(open_store(str(tmp_path / "before")), pool.ledger).adopt()
    said = gridfarm("submit", written(tmp_path))
    assert f"the farm's store is now {pool.store_url}, and was {tmp_path}/before" in said


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_who_follows_is_told_that_the_broker_is_away_and_back(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, each once; when it stays away, the following ends with the error as before."""
    said: list[str] = []
    with valkey(tmp_path / "broker") as server:
        farm = Farm(broker=server.url, store=tmp_path / "store", say=said.append)
        batch = farm.submit("name: away\nmodel: tiny\nprompts: [x]\nseeds: 1").batch
        said.clear()
        statuses = farm.watcher(batch).follow()
        next(statuses)
        assert server.process
        if way == "killed":
            server.kill()
        else:
            server.process.send_signal(signal.SIGSTOP)
        mending = threading.Thread(target=mend_once_it_is_said, args=(said, server, way))
        mending.start()
        next(statuses)
        mending.join()
        away, back = said
        assert f"the broker at {server.url} cannot be reached" in away
        assert "the broker answers again, after" in back
        server.kill()
        monkeypatch.setattr(absence, "BROKER_AWAY_S", 0.5)
        with pytest.raises(BrokerError):
            for _ in statuses:
                pass
        assert len(said) == 3


def mend_once_it_is_said(said: list[str], server: Valkey, way: str) -> None:
    deadline = time.monotonic() + 40
    while not any("trying again until" in text for text in said) and time.monotonic() < deadline:
        time.sleep(0.02)
    if way == "killed":
        server.start()
    else:
        assert server.process
        server.process.send_signal(signal.SIGCONT)
