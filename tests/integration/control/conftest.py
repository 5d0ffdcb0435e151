"""A folder store, an empty broker, commands against both, and a batch that was just submitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch
from common.dispatch import (
    Ledger,
)
from common.store import Store, open_store
from producer.cli.main import run
from tests.support.orders import frozen
from tests.support.under_way import CELLS, ordered


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def gridfarm(store: Store, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> Any:
    """`gridfarm COMMAND … --json` on the farm: its answer, and what it said beside it."""

    def call(*arguments: str, code: int = 0, broker: str = "") -> tuple[Any, str]:
        where = ["--store", store.url, "--broker", broker or ledger.broker.url, "--json"]
        ended = run([*arguments, *where])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out), err

    return call


@pytest.fixture
def night(store: Store, ledger: Ledger) -> Batch:
    """A batch of CELLS cells that was just submitted; its first 16 are on the queue."""
    return ordered(frozen(seeds=f"0..{CELLS - 1}"), store, ledger)
