"""rm's question names what goes, and from which store."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from common.store import open_store
from producer.cli.main import run
from tests.support.orders import frozen, put_batch


@pytest.mark.parametrize("answer", [True, False], ids=["yes", "no"])
@pytest.mark.parametrize("named", [True, False], ids=["--store", "found"])
def test_the_question_names_batch_and_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: bool,
    answer: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(str(tmp_path / "gridfarm-out" / "store"))
    batch = put_batch(store, frozen(), done=range(4))
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text) or answer)
    where = ["--store", store.url] if named else []
    assert run(["rm", "night", *where]) == (0 if answer else 1)
    assert asked == ["Remove from gridfarm-out/store?"]
    assert f"{batch}: 4 pictures" in capsys.readouterr().err
    assert store.exists(f"batches/{batch}/batch.json") is not answer
