"""The table of commands: complete, true, and nothing is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import producer.cli
import producer.cli.commands
from producer.cli.main import COMMANDS, cli, load_command, run

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_row_is_true(name: str) -> None:
    """`gridfarm NAME` is commands/NAME.py, and the line is the first of its help."""
    assert COMMANDS[name].file == name
    command = load_command(name)
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name].line


def test_every_file_is_in_the_table() -> None:
    folder = Path(producer.cli.commands.__file__).parent
    assert {path.stem for path in folder.glob("[!_]*.py")} == {*COMMANDS}


def test_help_lists_them_in_the_tables_order() -> None:
    lines = CliRunner().invoke(cli, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [*COMMANDS]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["frobnicate"]], ids=" ".join)
def test_no_command_is_loaded_for_what_calls_none(arguments: list[str]) -> None:
    code = f"""
import sys
from producer.cli.main import run
run({arguments})
sys.exit(any(name.startswith(("producer.cli.commands", "producer.farm")) for name in sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_one_command_does_not_load_the_others() -> None:
    code = """
import sys
from producer.cli.main import run
run(["status", "--help"])
loaded = {name for name in sys.modules if name.startswith("producer.cli.commands.")}
sys.exit(loaded != {"producer.cli.commands.status"})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_an_unknown_command_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stauts"]) == 2
    assert "stauts" in capsys.readouterr().err


def test_a_batch_file_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["my batch.yaml"]) == 2
    assert "gridfarm render 'my batch.yaml'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["plan"], ["list"], ["status"], ["doctor"]])
def test_a_folder_that_is_gone_is_said(arguments: list[str], tmp_path: Path) -> None:
    """By every command that looks for something where it is called."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"""
import os, sys
from producer.cli.main import run
os.rmdir({str(gone)!r})
sys.exit(run({arguments!r}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=gone, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("GRIDFARM_")}
        | {"PYTHONPATH": str(Path(producer.cli.__file__).parents[2])},
    )  # fmt: skip
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("Error: this folder is gone"), ended.stderr
    assert ended.returncode == 2


def test_help_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["--help"]) == 0
    assert run(["plan", "--help"]) == 0
