"""Stores that are not what they seem: a stranger's worker, a folder that is emptied, a web server
at the store's address. "Stored" means stored."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.dispatch import Ledger
from common.errors import StoreForeign
from common.store import open_store
from producer.cli.main import run
from producer.submission import Resolved, submit
from tests.support.orders import frozen, put_batch
from tests.support.pool import Pool, stub_batch
from tests.support.servers import Ministack
from tests.support.troubled_s3 import BECOME_IMPATIENT, TroubledS3
from tests.support.whole_pictures import damage, put_whole

pytestmark = pytest.mark.integration

QUICK = ("--steps=2", "--ms-per-step=5")
#: Python for a worker that looks more often which store is the farm's.
WATCHFUL = "from common.dispatch import farm_store; farm_store.LOOK_EVERY_S = 0.2"


@pytest.fixture
def pool(broker: str, tmp_path: Path) -> Iterator[Pool]:
    made = Pool(broker, tmp_path)
    yield made
    made.end()


def said_of(pool: Pool, name: str) -> str:
    """State and message of a worker."""
    reports = (w for w in pool.ledger.workers.alive() if w.machine == name)
    return next((f"{report.state}: {report.message}" for report in reports), "")


def test_a_worker_with_an_empty_store_stops_nobody(pool: Pool, tmp_path: Path) -> None:
    """Given an unmounted share on one machine of three, it says so and takes nothing; the others
    render all cells, and no batch is forgotten for it."""
    pool.submit(60)
    for name in ("good1", "good2"):
        pool.start(name, *QUICK)
    pool.start("strange", *QUICK, store=str(tmp_path / "unmounted"))
    pool.eventually(lambda: said_of(pool, "strange").startswith("paused:"))
    pool.eventually(lambda: pool.counts == (60, 0))
    assert pool.right_pictures() == 60
    assert "is not the store of the farm" in said_of(pool, "strange")
    assert "not mounted" in said_of(pool, "strange")
    assert pool.log("strange").count("rendered in") == 0
    assert not list(open_store(str(tmp_path / "unmounted")).list("images/"))


def test_a_share_that_is_mounted_late_is_taken_up(pool: Pool, tmp_path: Path) -> None:
    pool.submit(4)
    late = tmp_path / "late"
    pool.start("late", *QUICK, store=str(late))
    pool.eventually(lambda: said_of(pool, "late").startswith("paused:"))
    shutil.rmtree(late, ignore_errors=True)
    late.symlink_to(pool.store_url)
    pool.eventually(lambda: pool.counts == (4, 0))
    assert pool.right_pictures() == 4


def test_a_share_that_goes_away_in_mid_batch_pauses_its_workers(pool: Pool, tmp_path: Path) -> None:
    """What they put into the empty mount point meanwhile is rendered again once it is back."""
    mount = tmp_path / "mount"
    mount.symlink_to(pool.store_url)
    pool.submit(40)
    pool.start("w", "--steps=2", "--ms-per-step=40", store=str(mount), first=WATCHFUL)
    pool.eventually(lambda: pool.counts[0] >= 8)
    mount.unlink()
    mount.mkdir()
    pool.eventually(lambda: said_of(pool, "w").startswith("paused:"))
    done = pool.counts[0]
    assert done < 40
    shutil.rmtree(mount)
    mount.symlink_to(pool.store_url)
    pool.eventually(lambda: pool.counts == (40, 0) and pool.right_pictures() == 40)


def test_pictures_that_vanish_are_rendered_again_before_a_batch_is_done(
    pool: Pool, tmp_path: Path
) -> None:
    """Given a folder of pictures that is emptied in mid-batch."""
    pool.submit(40)
    pool.start("w", "--steps=2", "--ms-per-step=20")
    pool.eventually(lambda: pool.counts[0] >= 20)
    (tmp_path / "store" / "images").rename(tmp_path / "gone")
    pool.eventually(lambda: not pool.ledger.active())
    assert pool.counts == (40, 0)
    assert pool.right_pictures() == 40
    assert "that were stored are not there" in pool.log("w")


def test_a_web_server_at_the_stores_address_stores_nothing(
    broker: str, tmp_path: Path, s3_store_url: str, s3_server: Ministack
) -> None:
    """It answers everything with 200 and an ETag for a while: what it took for stored is
    rendered again."""
    with TroubledS3(s3_server.port) as server:
        pool = Pool(broker, tmp_path, s3_store_url, {"AWS_ENDPOINT_URL_S3": server.url})
        try:
            pool.submit(40)
            pool.start("w", "--steps=2", "--ms-per-step=20", first=BECOME_IMPATIENT)
            pool.eventually(lambda: pool.counts[0] >= 5)
            server.begin("web server")
            pool.eventually(lambda: pool.counts[0] >= 20 or "paused" in said_of(pool, "w"))
            server.end()
            pool.eventually(lambda: not pool.ledger.active())
            assert pool.counts == (40, 0)
            assert pool.right_pictures() == 40
        finally:
            pool.end()


def test_two_farms_do_not_share_a_broker(broker: str, tmp_path: Path) -> None:
    """The second is told so, instead of each taking the other's pictures for its own."""
    ledger = Ledger(broker)
    mine, yours = (open_store(str(tmp_path / name)) for name in ("mine", "yours"))
    submit(Resolved(stub_batch(4)), mine, ledger)
    with pytest.raises(StoreForeign, match="is not the store of the farm"):
        submit(Resolved(stub_batch(4)), yours, ledger)


def test_a_person_is_told_and_can_move_the_farm(
    broker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` names both stores; every command that would steer the farm refuses, those that look
    say what the store knows, rm removes from that store alone; `doctor --adopt-store` makes the
    new store the farm's."""
    old, new = (str(tmp_path / name) for name in ("old", "new"))

    def gridfarm(*words: str) -> tuple[int, str]:
        code = run([*words, "--broker", broker, "--store", new])
        return code, "".join(capsys.readouterr())

    batch = stub_batch(4)
    submit(Resolved(batch), open_store(old), Ledger(broker))
    shutil.copytree(Path(old) / "batches", Path(new) / "batches")
    code, said = gridfarm("doctor")
    assert code == 3
    assert old in said and new in said and "--adopt-store" in said
    for command in ("cancel", "pause", "resume", "retry", "watch", "priority"):
        code, said = gridfarm(command, batch.id, *["high"] * (command == "priority"))
        assert (code, "is not the store of the farm" in said) == (3, True), (command, said)
    assert gridfarm("grid", batch.id)[0] == 0
    for words in (["list"], ["status", batch.id], ["verify", batch.id]):
        code, said = gridfarm(*words)
        assert (code, "this is what the store knows" in said) == (0, True), (words, said)
        assert "GRIDFARM_STORE" in said
    shutil.copytree(Path(new) / "batches", tmp_path / "kept")
    code, said = gridfarm("rm", batch.id, "--yes", "--cancel")
    assert (code, "it is removed from this store alone" in said) == (0, True)
    assert "no broker is configured" not in said
    assert Ledger(broker).active() == [batch.id]
    shutil.copytree(tmp_path / "kept", Path(new) / "batches", dirs_exist_ok=True)
    code, said = gridfarm("doctor", "--adopt-store")
    assert (code, Ledger(broker).active()) == (0, [])
    assert f"the farm's store is now {new}" in said
    assert f"the broker has forgotten {batch.id}, which the other store keeps" in said
    assert gridfarm("resume", batch.id)[0] == 0


@pytest.mark.parametrize("command", ["retry", "resume"])
def test_a_command_in_another_store_changes_nothing_there(
    broker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Also where there is nothing to order: of a batch that is done, one of whose pictures was
    found damaged."""
    submit(Resolved(stub_batch(4)), open_store(str(tmp_path / "farm")), Ledger(broker))
    store, batch = open_store(str(tmp_path / "another")), frozen(more="settings: {size: 64x64}")
    put_batch(store, batch)
    put_whole(store, batch, range(4))
    damage(store, batch, 2)
    assert run(["verify", batch.id, "--store", store.url]) == 4
    before = sorted(store.list(""))
    assert run([command, batch.id, "--broker", broker, "--store", store.url]) == 3
    assert "is not the store of the farm" in capsys.readouterr().err
    assert sorted(store.list("")) == before
