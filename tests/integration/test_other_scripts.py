"""A batch whose name is written in another script goes the whole way under it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from producer.cli.main import run
from tests.support.pool import Pool

pytestmark = pytest.mark.integration

CELLS = 4


def test_a_name_in_another_script_goes_the_whole_way(
    broker: str, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rendered by a worker, watched, drawn, fetched and removed, on a folder and on S3."""
    pool = Pool(broker, tmp_path, store_url)

    def gridfarm(*words: str) -> Any:
        code = run([*words, "--broker", broker, "--store", store_url, "--json"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return json.loads(out.splitlines()[-1])

    try:
        pool.submit(CELLS, name="Ünïcode 猫")
        pool.start("w", "--steps=1", "--ms-per-step=5")
        pool.eventually(lambda: gridfarm("status", "ünïcode-猫")["state"] == "done")
        assert [row["batch"] for row in gridfarm("list")["batches"]] == [pool.batch.id]
        sheet = gridfarm("grid", "Ünïcode 猫", "-o", f"{tmp_path}/sheets/")
        assert sheet["files"] == [str(tmp_path / "sheets" / "ünïcode-猫.png")]
        assert gridfarm("fetch", pool.batch.id, str(tmp_path / "out"))["written"] == CELLS
        assert gridfarm("show", f"{pool.batch.id}#1")["batch"] == pool.batch.id
        gridfarm("rm", "ünïcode-猫", "--yes")
        assert gridfarm("list")["batches"] == []
    finally:
        pool.end()
