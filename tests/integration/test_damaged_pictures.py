"""A stored picture rots, and a worker draws it again: verify, retry and fetch on a running farm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.whole_pictures import damage, is_whole

pytestmark = pytest.mark.integration

CELLS = 6


@pytest.fixture
def pool(broker: str, tmp_path: Path, store_url: str) -> Iterator[Pool]:
    pool = Pool(broker, tmp_path, store_url)
    yield pool
    pool.end()


@pytest.fixture
def gridfarm(pool: Pool, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(*words: str, code: int = 0) -> Any:
        where = ("--broker", pool.broker, "--store", pool.store_url, "--json")
        ended = run([*words, *where])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out)

    return call


def test_what_rots_is_drawn_again_by_a_worker(
    pool: Pool, gridfarm: Callable[..., Any], tmp_path: Path
) -> None:
    """On a folder and on S3. A worker takes what lies under a key for stored: that is why the
    damaged picture has to be away before it is asked for."""
    pool.submit(CELLS)
    pool.start("w", "--steps=2", "--ms-per-step=5")
    pool.eventually(lambda: gridfarm("status", "spot")["state"] == "done")
    assert gridfarm("verify", "spot")["whole"] == CELLS
    damage(pool.store, pool.batch, 2)
    damage(pool.store, pool.batch, 4, lambda _: b"")
    assert gridfarm("verify", "spot", code=4)["damaged"] == 2
    gridfarm("retry", "spot")
    pool.eventually(lambda: gridfarm("status", "spot")["state"] == "done")
    assert all(is_whole(pool.store, pool.batch, i) for i in range(CELLS))
    assert gridfarm("fetch", "spot", str(tmp_path / "out"))["written"] == CELLS
    assert pool.right_pictures() == CELLS
