"""An S3 server in trouble (`tests.support.troubled_s3`) before real workers and real commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.config import Config

from common.errors import StoreError, StoreUnreachable
from common.store import open_store, s3
from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.servers import Ministack
from tests.support.troubled_s3 import BECOME_IMPATIENT, TroubledS3

pytestmark = pytest.mark.integration

QUICK = ("--steps=2", "--ms-per-step=5")
CELLS = 12


@pytest.fixture
def trouble(s3_server: Ministack) -> Iterator[TroubledS3]:
    with TroubledS3(s3_server.port) as server:
        yield server


@pytest.fixture
def pool(broker: str, tmp_path: Path, s3_store_url: str, trouble: TroubledS3) -> Iterator[Pool]:
    """Its workers reach the store through the trouble; this process and its commands do not."""
    made = Pool(broker, tmp_path, s3_store_url, {"AWS_ENDPOINT_URL_S3": trouble.url})
    yield made
    trouble.end()
    made.end()


@pytest.fixture
def gridfarm(pool: Pool, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A command against the pool's broker and store; all that it said, when it ends with `code`."""

    def call(*words: str, code: int = 0) -> str:
        ended = run([*words, "--broker", pool.broker, "--store", pool.store_url])
        said = "".join(capsys.readouterr())
        assert ended == code, said
        assert "Traceback" not in said
        return said

    return call


@pytest.mark.parametrize("fault", ["503", "500", "reset"])
def test_requests_that_fail_now_and_then_cost_nothing(
    pool: Pool, trouble: TroubledS3, fault: str
) -> None:
    """They are tried again with back-off; no worker pauses, no attempt is charged."""
    pool.start("w", *QUICK)
    pool.listens("w")
    trouble.begin(fault, every=5)
    pool.submit(CELLS)
    pool.eventually(lambda: pool.counts == (CELLS, 0))
    assert trouble.hit > 5
    assert pool.right_pictures() == CELLS
    assert "paused" not in pool.log("w")
    assert pool.log("w").count("rendered in") == CELLS


SAID = {
    "503": "SlowDown",
    "reset": "Connection",
    "read-only": "AccessDenied",
    "full": "XMinioStorageFull",
    "wrong key": "InvalidAccessKeyId|AWS_ACCESS_KEY_ID",
    "portal": "no S3 server",
}


@pytest.mark.parametrize("fault", ["503", "read-only"])
def test_a_worker_pauses_says_why_and_goes_on(
    pool: Pool, gridfarm: Callable[..., str], trouble: TroubledS3, fault: str
) -> None:
    """`status` and `doctor` show the reason; when the store is well again, the batch finishes and
    nothing has failed."""
    pool.start("w", *QUICK, first=BECOME_IMPATIENT)
    pool.listens("w")
    trouble.begin(fault)
    pool.submit(CELLS)
    pool.eventually(lambda: [w.state for w in pool.ledger.workers.alive()] == ["paused"])
    [seen] = pool.ledger.workers.alive()
    assert re.search(SAID[fault], seen.message)
    assert "Traceback" not in pool.log("w")
    assert pool.counts == (0, 0)
    assert re.search(SAID[fault], gridfarm("status", pool.batch.id))
    trouble.end()
    pool.eventually(lambda: pool.counts == (CELLS, 0), seconds=60)
    assert pool.right_pictures() == CELLS


ORDERS: dict[str, Callable[[Pool, Path], tuple[str, ...]]] = {
    "submit": lambda _, folder: ("submit", str(folder / "batch.yaml")),
    "status": lambda pool, _: ("status", pool.batch.id),
    "cancel": lambda pool, _: ("cancel", pool.batch.id),
    "grid": lambda pool, folder: ("grid", pool.batch.id, "-o", str(folder / "grid.png")),
    "fetch": lambda pool, folder: ("fetch", pool.batch.id, str(folder / "pictures")),
}


@pytest.mark.parametrize(
    ("order", "fault"),
    [("submit", "read-only"), ("submit", "full"), ("cancel", "read-only"), ("status", "reset"),
     ("grid", "portal"), ("fetch", "wrong key")],
)  # fmt: skip
@pytest.mark.usefixtures("impatient_s3")
def test_a_command_says_what_is_wrong_with_the_store(
    pool: Pool,
    gridfarm: Callable[..., str],
    trouble: TroubledS3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    fault: str,
) -> None:
    """One line, exit code 3, no traceback; what a batch is afterwards is what it was before."""
    (tmp_path / "batch.yaml").write_text("model: tiny\nprompts: [a wolf]\nseeds: 0..3\n")
    pool.submit(CELLS)
    before = pool.ledger.status(pool.batch.id)
    trouble.begin(fault)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", trouble.url)
    assert re.search(SAID[fault], gridfarm(*ORDERS[order](pool, tmp_path), code=3))
    assert pool.ledger.status(pool.batch.id) == before


@pytest.mark.usefixtures("impatient_s3")
def test_a_server_that_never_answers_is_given_up(
    trouble: TroubledS3, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product waits 20 s for each answer; here 0.2 s."""
    monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(Config(read_timeout=0.2)))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", trouble.url)
    store = open_store(s3_store_url)
    trouble.begin("stall")
    for act in (lambda: store.put("a", b"1"), lambda: store.get("a"), lambda: store.exists("a")):
        with pytest.raises(StoreUnreachable, match=r"timed out|timeout"):
            act()


def test_a_web_page_is_no_picture(
    trouble: TroubledS3, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portal's 200 neither means that a picture is there nor that one was stored."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", trouble.url)
    store = open_store(s3_store_url)
    trouble.begin("portal")
    for act in (lambda: store.exists("a"), lambda: store.put("a", b"1"), lambda: store.get("a")):
        with pytest.raises(StoreError, match="no S3 server"):
            act()
