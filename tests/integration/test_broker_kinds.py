"""What is no broker is refused alike by commands and by the worker's launcher, at once; what is
one serves both, with any password, which nobody prints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from common.broker import Broker
from common.errors import BrokerRefused
from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.servers import Valkey, free_port, valkey
from worker.supervisor.exit_codes import UNREACHABLE

pytestmark = pytest.mark.integration


class Sentinel(Valkey):
    @property
    def command(self) -> list[str]:
        config = self.data_dir / "sentinel.conf"
        config.write_text(f"bind 127.0.0.1\nport {self.port}\ndir {self.data_dir}\n")
        return [super().command[0], str(config), "--sentinel"]


@contextmanager
def started(server: Valkey, **options: str) -> Iterator[Valkey]:
    server.options |= {name.replace("_", "-"): value for name, value in options.items()}
    try:
        server.start()
        yield server
    finally:
        server.kill()


def refusals(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What three commands and the worker's launcher say of it; each ends with 3."""
    where = [f"--broker={url}", f"--store={folder / 'store'}"]
    (folder / "store").mkdir(exist_ok=True)
    (folder / "b.yaml").write_text("name: b\nmodel: tiny\nprompts: [x]\n")
    said = []
    for command in (["submit", str(folder / "b.yaml")], ["doctor"], ["list"]):
        ended = run([*command, *where])
        said.append("".join(capsys.readouterr()))
        assert ended == (0 if command == ["list"] else 3), said[-1]
    launcher = [sys.executable, "-m", "worker.cli", *where]
    worker = subprocess.run(launcher, capture_output=True, text=True, timeout=60)
    assert worker.returncode == UNREACHABLE
    said[2] = worker.stdout + worker.stderr
    assert "worker process" not in said[2]  # none was started
    assert not any("Traceback" in text for text in said)
    return said


def test_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that has all slots on one node, which would take most of what is asked."""
    options = {"cluster_enabled": "yes", "cluster_port": str(free_port())}
    with started(Valkey(tmp_path / "broker"), **options) as server:
        with Broker(server.url).redis as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        for said in refusals(server.url, tmp_path, capsys):
            assert "a node of a Redis Cluster" in said and "cluster_enabled:0" in said


def test_a_sentinel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(Sentinel(tmp_path / "broker")) as server:
        for said in refusals(server.url, tmp_path, capsys):
            assert "is a Sentinel" in said and "name the primary itself" in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("unix:///run/redis.sock", "a socket file serves one machine"),
        ("redis://:se;cret@127.0.0.1/1/2", "a database's number"),
    ],
)
def test_a_url_that_one_side_alone_could_read(
    url: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for said in refusals(url, tmp_path, capsys):
        assert words in said and "cret" not in said


def test_a_worker_with_a_wild_password_shows_it_nowhere(tmp_path: Path) -> None:
    """Not while the broker is away either, which kombu and Celery report. What its environment
    has for another program that uses Celery is not asked."""
    password = "se;cr[e]t@:/?#%ä\\'"
    with valkey(tmp_path / "broker", password=password) as server:
        # As somebody types it who escapes no more than has to be.
        typed = quote(password, safe=";[]@:ä\\'")
        url = f"redis://:{typed}@127.0.0.1:{server.port}/0"
        nowhere = "redis://127.0.0.1:1/0"
        others = {"CELERY_BROKER_URL": nowhere, "CELERY_RESULT_BACKEND": "db+sqlite:///x"}
        pool = Pool(url, tmp_path, environment=others)
        try:
            pool.start("w", "--steps=1", "--ms-per-step=1")
            pool.submit(3)
            pool.eventually(lambda: pool.counts == (3, 0))
            server.kill()
            pool.eventually(lambda: "Trying again in 2.00 seconds" in pool.log("w"))
            pool.eventually(lambda: "cannot be reached" in pool.log("w"))
            server.start()
            pool.submit(3, name="after")
            pool.eventually(lambda: pool.counts == (3, 0))
            assert pool.right_pictures() == 3
        finally:
            pool.end()
        said = pool.log("w")
        assert "Traceback" not in said
        assert not any(part in said for part in ("cr[e]t", "cr%5Be", "se;", "se%3B", "t@:"))


def test_a_server_that_says_not_what_it_is_is_believed(tmp_path: Path) -> None:
    """An old one, or one whose HELLO is forbidden. Without commands at all it is none."""
    with valkey(tmp_path) as server:
        with Broker(server.url).redis as admin:
            admin.execute_command("ACL", "SETUSER", "shy", "on", ">x", "~*", "+@all", "-hello")
            admin.execute_command("ACL", "SETUSER", "dumb", "on", ">x", "~*", "-@all")
        for user in ("shy", "dumb"):
            broker = Broker(server.url.replace("//", f"//{user}:x@"))
            if user == "shy":
                broker.ping(), broker.probe()
            else:
                with pytest.raises(BrokerRefused, match="refuses the credentials"):
                    broker.ping()
