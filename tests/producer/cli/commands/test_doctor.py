"""What is not well stands out among what is, is counted, and is the exit code. On the machine of
these tests the hub is not asked, which is worth a note."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest

from common.config import FarmConfig
from producer.cli.main import run
from producer.doctor import examine
from producer.farm import Farm
from tests.support.servers import free_port

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def typo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that is not there; the broker is none that answers."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "stroe"))
    monkeypatch.setenv("GRIDFARM_BROKER", f"redis://127.0.0.1:{free_port()}")
    return tmp_path / "stroe"


def begins(text: str) -> dict[str, str]:
    lines = [line.split(maxsplit=2) for line in text.splitlines() if line and line[0] != " "]
    return {line[1]: line[0] for line in lines if len(line) > 1}


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.usefixtures("typo")
def test_words_where_there_is_no_terminal(capsys: Capture) -> None:
    assert run(["doctor"]) == 3
    said = capsys.readouterr().out
    marks = begins(said)
    assert (marks["gridfarm"], marks["broker"], marks["store"]) == ("ok", "BAD", "BAD")
    assert said.splitlines()[-1] == "2 not well: broker, store; 1 to note: hub"
    assert said.isascii()


@pytest.mark.usefixtures("typo")
def test_marks_on_a_terminal_and_lines_that_fit(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch)
    assert run(["doctor"]) == 3
    said = click.unstyle(capsys.readouterr().out)
    assert {begins(said)[name] for name in ("broker", "store")} == {"✗"}
    assert begins(said)["gridfarm"] == "✓"
    broker = [line for line in said.splitlines() if "broker at" in line]
    assert len(broker[0]) <= 80


@pytest.mark.usefixtures("typo")
def test_who_wants_no_colours_gets_words(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    run(["doctor"])
    assert begins(capsys.readouterr().out)["store"] == "BAD"


def test_what_is_only_worth_knowing_fails_nothing(
    broker: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a broker without workers and without a store, then both are marked, with code 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert run(["doctor", "--broker", broker]) == 0
    said = capsys.readouterr().out
    assert {begins(said)[name] for name in ("store", "workers")} == {"note"}
    assert said.splitlines()[-1] == "3 to note: store, workers, hub"
    assert run(["doctor", "--broker", broker, "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert (checks["workers"]["ok"], checks["workers"]["warning"]) == (True, True)


def test_the_store_of_the_renders_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["doctor"])
    assert "`gridfarm render` makes a folder" in capsys.readouterr().out
    (tmp_path / "gridfarm-out" / "store").mkdir(parents=True)
    run(["doctor"])
    said = capsys.readouterr().out
    assert f"that of the renders here, {tmp_path}/gridfarm-out/store: can write" in said


def test_all_is_well(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [check for check in examine(FarmConfig(store=str(tmp_path))) if not check.warning]
    monkeypatch.setattr(Farm, "examine", lambda _: checks)
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all is well"
