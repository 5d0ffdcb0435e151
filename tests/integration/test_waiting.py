"""What keeps a GPU busy behind a slow network; `make chaos` (waiting) has the figures."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import pytest

from common.store import open_store
from tests.chaos.waiting import gaps
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import Ministack, Valkey

pytestmark = pytest.mark.integration

CELLS = 20
ROUND_TRIP_S = 0.06


def test_between_two_jobs_a_gpu_waits_for_no_answer(valkey_server: Valkey, broker: str,
                                                    tmp_path: Path) -> None:  # fmt: skip
    """Claims, charges and reports are on their way while other jobs compute."""
    pool = Pool(broker, tmp_path)
    pool.submit(CELLS)
    with Proxy(valkey_server.port, latency_s=ROUND_TRIP_S / 2) as network:
        try:
            pool.start("w", "--ms-per-step=125", "--threads=6", f"--gpu-log={tmp_path / 'gpu'}",
                       broker=network.url(broker))  # fmt: skip
            pool.eventually(lambda: pool.counts == (CELLS, 0))
        finally:
            pool.end()
    assert median(gaps((tmp_path / "gpu").read_text())) < ROUND_TRIP_S / 2


def test_a_put_is_one_round_trip(
    s3_store_url: str, s3_server: Ministack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 would ask first whether it may send the body."""
    with Proxy(s3_server.port, latency_s=0.5) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{network.port}")
        store = open_store(s3_store_url)
        began = time.monotonic()
        store.put("a/b.png", bytes(20_000))
        assert time.monotonic() - began < 1.9
