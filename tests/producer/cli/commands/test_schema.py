"""gridfarm schema prints the file that is published, for an editor and for a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producer.cli.main import run

PAGE = Path(__file__).parents[4] / "docs" / "batch.schema.json"


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["as a file", "on a line"])
def test_it_prints_what_is_published(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", *option]) == 0
    printed = capsys.readouterr().out
    text = PAGE.read_text(encoding="utf-8")
    assert json.loads(printed) == json.loads(text)
    assert option or printed == text
