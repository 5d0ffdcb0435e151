"""A broker that dies, goes silent, is still loading or takes no writes, and workers of another
version or with a wrong clock: real worker processes (with a stub renderer) and real brokers."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.dispatch import Ledger, queue_name
from common.errors import BrokerError
from producer.batches import absence, status
from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import Valkey, free_port, valkey
from worker.supervisor.exit_codes import UNREACHABLE

pytestmark = pytest.mark.integration

QUICK = ["--steps=2", "--ms-per-step=5"]
STEADY = ["--steps=2", "--ms-per-step=100"]

Cli = Callable[..., str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def pool(server: Valkey, tmp_path: Path) -> Iterator[Pool]:
    with pool_on(server.url, tmp_path) as made:
        yield made


@contextmanager
def pool_on(broker: str, folder: Path) -> Iterator[Pool]:
    made = Pool(broker, folder)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def gridfarm(pool: Pool, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A command against the pool's broker and store; all that it said, when it ends with `code`."""

    def call(*arguments: str, code: int = 0, broker: str = "") -> str:
        where = [f"--broker={broker or pool.broker}", f"--store={pool.store_url}"]
        ended = run([*arguments, *where])
        said = "".join(capsys.readouterr())
        assert ended == code, said
        assert "Traceback" not in said
        return said

    return call


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A batch file that nobody has submitted."""
    path = tmp_path / "another.yaml"
    path.write_text("name: another\nmodel: tiny\nprompts: [x]\nseeds: 1..3\n")
    return str(path)


def is_over(pool: Pool, cells: int) -> Callable[[], bool]:
    def over() -> bool:
        seen = pool.ledger.status(pool.batch.id)
        return seen is not None and (seen.done, seen.failed) == (cells, 0)

    return over


def test_a_killed_broker_comes_back_slowly(pool: Pool, server: Valkey, gridfarm: Cli) -> None:
    """SIGKILL, then it reads its data for seconds. A worker that renders does so to the end,
    once; an idle one says what it waits for, and goes on."""
    ballast = {f"gridfarm:ballast:{n}": "x" for n in range(8_000)}
    pipeline = pool.ledger.redis.pipeline(transaction=False)
    for name, value in ballast.items():
        pipeline.set(name, value)
    pipeline.execute()
    pool.start("busy", "--threads=1", "--steps=60", "--ms-per-step=100")
    pool.submit(1)
    pool.renders("busy", waiting=0)
    pool.start("idle", *QUICK)
    pool.listens("idle")
    server.kill()
    said = gridfarm("status", "spot")
    assert "cannot be reached" in said and "this is what the store knows" in said
    server.options["key-load-delay"] = "300"  # µs a key
    starting = threading.Thread(target=server.start)
    starting.start()
    pool.eventually(lambda: "is still loading its data" in at_once(server.url))
    starting.join()
    pool.eventually(is_over(pool, 1))
    pool.submit(3, name="after")
    pool.eventually(is_over(pool, 3))
    assert pool.log("busy").count(" begins ") + pool.log("idle").count(" begins ") == 4
    assert "Trying again in 2.00 seconds" in pool.log("idle")
    assert "Traceback" not in pool.log("busy") + pool.log("idle")


def at_once(broker: str) -> str:
    """What a command would say, without the tries that may outlast the trouble."""
    ledger = Ledger(broker)
    ledger.redis.connection_pool.connection_kwargs["retry"] = Retry(NoBackoff(), 0)
    try:
        ledger.broker.ping()
    except BrokerError as error:
        return error.message
    return ""


def test_half_open_connections_are_noticed(pool: Pool, server: Valkey) -> None:
    """Each connection that is open goes silent for good, as when a NAT forgets it, and new ones
    work: an idle worker, one with a cell in each thread, and who watches all go on. The lease of
    the cell on the GPU is kept."""
    with Proxy(server.port) as network:
        broker = network.url(server.url)
        pool.start("busy", "--steps=400", "--ms-per-step=100", broker=broker)
        pool.submit(3)
        pool.renders("busy")
        pool.start("idle", *QUICK, broker=broker)
        first = pool.batch
        far = Ledger(broker)
        watcher = status.StatusWatcher(pool.batch.id, pool.batch, pool.store, far)
        statuses = watcher.follow()
        next(statuses)
        pool.submit(1, name="before")  # from then on Celery is connected, too
        pool.eventually(is_over(pool, 1))
        network.forget()
        pool.submit(3, name="after")
        pool.eventually(is_over(pool, 3), seconds=60)
        assert next(statuses).running > 0
        pool.batch = first
        assert sorted(pool.held_by("busy")) == [0, 1, 2]


def test_a_worker_of_another_epoch_takes_nothing(pool: Pool, gridfarm: Cli, file: str) -> None:
    """`submit`, `status` and `doctor` say that nobody could, although somebody is alive."""
    pool.start("newer", *QUICK, first="import common.job as job; job.RENDERER_EPOCH += 1")
    pool.listens("newer")
    pool.submit(3)
    said = "no worker of this version of gridfarm is listening; 1 of another version listens"
    for command in (["doctor"], ["status", "spot"], ["submit", file]):
        assert said in gridfarm(*command)
    assert pool.ledger.redis.llen(queue_name()) == 6
    pool.start("right", *QUICK)
    pool.eventually(is_over(pool, 3))
    assert "begins" not in pool.log("newer")
    said = gridfarm("doctor")
    assert "1 worker of another version takes nothing of it: install the same version" in said


@pytest.mark.parametrize(
    "said",
    [
        {"threads": 8, "battery": [0.5], "lasts_s": 1.0},
        {"threads": {"gpu": 1}},
        {"queues": None, "threads": 3},
        {"queues": "gridfarm", "threads": "many"},
        [],
        None,
    ],
    ids=str,
)
def test_what_another_version_says_of_itself_breaks_nothing(
    pool: Pool, gridfarm: Cli, said: object
) -> None:
    """A beat with a field more, or with none that is known: it is fed and shown as before."""
    known = dict.fromkeys(("name", "machine", "device", "state"), "x") | {"queues": [queue_name()]}
    text = json.dumps(known | said if isinstance(said, dict) else said)
    pool.ledger.redis.hset("gridfarm:workers", "newer", text)
    pool.ledger.redis.zadd("gridfarm:alive", {"newer": 2**52})
    pool.submit(40)
    assert pool.ledger.redis.llen(queue_name()) >= 16
    known_enough = isinstance(said, dict) and "battery" in said
    assert ("1 worker" if known_enough else "no worker is listening") in gridfarm("status", "spot")


def test_a_clock_that_is_off_changes_nothing(pool: Pool) -> None:
    """One worker is seven hours ahead (more than Celery's visibility time-out), one ten minutes
    behind. Each cell is rendered once, the leases end in 15 s, and both say rightly for how long
    they have been at it."""
    pool.submit(24)
    for name, off_s in (("ahead", 7 * 3600), ("behind", -600)):
        off = f"import time; now = time.time; time.time = lambda: now() + {off_s}"
        pool.start(name, *STEADY, first=off)
        pool.listens(name)
    pool.eventually(lambda: pool.counts[0] > 4 and pool.held_by("ahead") and pool.held_by("behind"))
    leases = f"gridfarm:batch:{pool.batch.id}:leases"
    ends = [end / 1000 for _, end in pool.ledger.redis.zrange(leases, 0, -1, withscores=True)]
    now = pool.ledger.redis.time()[0]
    assert ends and all(now - 1 < end < now + 17 for end in ends)
    workers = pool.ledger.workers.alive()
    assert len(workers) == 2 and all(0 <= worker.lasts_s < 60 for worker in workers)
    pool.eventually(is_over(pool, 24))
    lines = (pool.log("ahead") + pool.log("behind")).splitlines()
    begun = Counter(line.split()[-1] for line in lines if " begins " in line)
    assert len(begun) == 24 and set(begun.values()) == {1}


def test_a_refused_password(tmp_path: Path, gridfarm: Cli, file: str) -> None:
    """One line and exit code 3 each; the password is nowhere."""
    with valkey(tmp_path / "locked", password="right") as server:
        wrong = server.url.replace("right", "wrong-one")
        with pool_on(wrong, tmp_path) as pool:
            worker = pool.start("stranger")
            for command in (["submit", file], ["doctor"]):
                said = gridfarm(*command, code=3, broker=wrong)
                assert "refuses the credentials: invalid username-password pair" in said
                assert "wrong-one" not in said
            assert worker.wait(30) == UNREACHABLE
            assert "refuses the credentials: invalid username-password" in pool.log("stranger")
            assert "wrong-one" not in pool.log("stranger")


class Trouble:
    """Why a broker takes nothing any more; `end` ends that. `said` is the words for it, and
    unless it lets Celery wait for messages, that tries again, too."""

    said: str
    lets_celery_wait = False

    def __init__(self, server: Valkey, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.client = redis.Redis.from_url(server.url)

    def begin(self) -> None: ...

    def end(self) -> None: ...


class Full(Trouble):
    said = "is full"
    lets_celery_wait = True

    def begin(self) -> None:
        self.client.config_set("maxmemory", "1mb")

    def end(self) -> None:
        self.client.config_set("maxmemory", "0")


class Demoted(Trouble):
    """A failover to another one, with all data, ended by another failover."""

    said = "is a read-only replica"

    def begin(self) -> None:
        self.other = Valkey(self.folder / "other")
        self.other.start()
        there = redis.Redis.from_url(self.other.url)
        follow(there, self.server.port)
        there.replicaof("NO", "ONE")
        follow(self.client, self.other.port)

    def end(self) -> None:
        self.client.replicaof("NO", "ONE")
        self.other.kill()


class Orphaned(Trouble):
    """A replica whose primary is gone and that shows no old data."""

    said = "is a (replica that has lost its primary|read-only replica)"

    def begin(self) -> None:
        self.client.config_set("replica-serve-stale-data", "no")
        self.client.replicaof("127.0.0.1", free_port())

    def end(self) -> None:
        self.client.replicaof("NO", "ONE")


class Unsaved(Trouble):
    """It could not save, since its folder is gone."""

    said = "cannot save to its disk"

    def begin(self) -> None:
        shutil.rmtree(self.server.data_dir)
        self.client.config_set("save", "3600 1")
        self.client.bgsave()
        while self.client.info("persistence")["rdb_last_bgsave_status"] != "err":
            time.sleep(0.05)

    def end(self) -> None:
        self.client.config_set("save", "")


class Alone(Trouble):
    said = "too few replicas"

    def begin(self) -> None:
        self.client.config_set("min-replicas-to-write", 1)

    def end(self) -> None:
        self.client.config_set("min-replicas-to-write", 0)


class Busy(Trouble):
    said = "busy with somebody's long script"

    def begin(self) -> None:
        self.client.config_set("busy-reply-threshold", 50)
        once = redis.Redis.from_url(self.server.url, retry=Retry(NoBackoff(), 0))

        def loop() -> None:
            with suppress(redis.RedisError):  # it is killed
                once.eval("while true do end", 0)

        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.client.script_kill()
        self.thread.join()
        while "busy" in at_once(self.server.url):
            time.sleep(0.02)


def follow(client: redis.Redis, port: int) -> None:
    client.replicaof("127.0.0.1", port)
    deadline = time.monotonic() + 30
    while client.info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "idle"),
    [
        (Full, "idle"),
        (Demoted, ""),
        (Orphaned, ""),
        (Unsaved, ""),
        (Alone, "idle"),
        (Busy, ""),
    ],
    ids=lambda value: value.__name__.lower() if isinstance(value, type) else value,
)
def test_a_broker_that_takes_nothing(
    pool: Pool,
    server: Valkey,
    gridfarm: Cli,
    file: str,
    kind: type[Trouble],
    idle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands end with 3 and say what to do, the worker's log as well; the worker stays and
    goes on when it is over: with what it rendered, or, idle, with what is asked for then. That a
    batch is done is still to be read."""
    monkeypatch.setattr(absence, "BROKER_AWAY_S", 0.5)
    trouble = kind(server, tmp_path)
    pool.submit(1, name="waiting", gpu="H100")  # for a GPU that nobody has
    pool.submit(24)
    sooner = "import common.dispatch.ledger as ledger; ledger.LOST_AFTER_MS = 2_000"
    worker = pool.start("w", *STEADY, first=sooner)
    pool.eventually(lambda: pool.counts[0] > 3)
    if idle:
        assert "24/24, done" in gridfarm("watch", "spot")
    trouble.begin()
    pool.eventually(lambda: re.search(trouble.said, pool.log("w")))
    again = "Trying again in 2.00 seconds"
    pool.eventually(lambda: trouble.lets_celery_wait or again in pool.log("w"))
    for command in (["submit", file], ["watch", "waiting"], ["doctor"]):
        assert re.search(trouble.said, gridfarm(*command, code=3))
    if idle:
        assert "24/24, done" in gridfarm("watch", "spot")
    gridfarm("status", "spot")
    trouble.end()
    if idle:
        pool.submit(24, name="after")
    pool.eventually(is_over(pool, 24))
    assert worker.poll() is None
    assert "Traceback" not in pool.log("w")
    assert "was dropped" not in pool.log("w")
    assert pool.right_pictures() == 24
