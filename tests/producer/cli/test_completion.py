"""Tab: what the shells are offered, through click's own classes and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from common.store import open_store
from producer.cli import completion
from producer.cli.main import cli
from tests.support.orders import frozen, put_batch
from tests.support.servers import free_port

SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}
Offered = Callable[..., list[str]]


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the one batch in the store, for a person in a folder with two batch files."""
    monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "store"))
    work = tmp_path / "work"
    (work / "more").mkdir(parents=True)
    for name in ("a.yaml", "b.yml", "notes.txt", "more/c.yaml"):
        (work / name).write_text("")
    monkeypatch.chdir(work)
    store = open_store(str(tmp_path / "store"))
    return put_batch(store, frozen(more="axes: {steps: [1, 2]}\n"))


@pytest.fixture
def offered() -> Offered:
    """What follows when a person presses Tab after these words; the last is begun, or ""."""

    def after(*words: str) -> list[str]:
        asked = ShellComplete(cli, {}, "gridfarm", "_GRIDFARM_COMPLETE")
        items = asked.get_completions(list(words[:-1]), words[-1])
        return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]

    return after


@pytest.mark.parametrize("command", ["status", "watch", "grid", "open", "fetch", "rm"])
def test_a_batch(offered: Offered, batch: str, command: str) -> None:
    assert offered(command, "") == [batch, "@last", "a.yaml", "b.yml"]
    assert offered(command, "@") == ["@last"]
    assert offered(command, "nig") == [batch]
    assert offered(command, "more/") == ["more/c.yaml"]


def test_a_batch_is_offered_once(offered: Offered, batch: str) -> None:
    assert batch not in offered("rm", batch, "")


def test_a_store_on_the_line_counts(offered: Offered, batch: str, tmp_path: Path) -> None:
    other = put_batch(open_store(str(tmp_path / "other")), frozen("other"))
    answer = offered("rm", "--store", str(tmp_path / "other"), "")
    assert other in answer
    assert batch not in answer


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("command", ["init", "plan", "render", "submit"])
def test_a_batch_file(offered: Offered, command: str) -> None:
    """Where no batch file fits, the shell offers its files, so that folders are reached."""
    assert offered(command, "") == ["a.yaml", "b.yml"]
    assert offered(command, "more/") == ["more/c.yaml"]
    assert offered(command, "mo") == ["<file>"]


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("option", ["--rows", "--columns"])
def test_axes_of_the_batch_on_the_line(offered: Offered, option: str) -> None:
    assert offered("grid", "night", option, "") == ["prompt", "seed", "steps"]
    assert offered("grid", "night", option, "s") == ["seed", "steps"]
    assert offered("grid", "night", option, "seed,") == ["seed,prompt", "seed,steps"]
    assert offered("grid", "unknown", option, "") == []


def test_a_cell_or_a_picture(offered: Offered, batch: str) -> None:
    assert offered("show", "nig") == [f"{batch}#0"]
    assert offered("show", "more/x") == ["<file>"]


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize(
    "store", ["s3", "s3://bucket/{away}", "nonsense://x", ""], ids=["name", "s3", "bad", "none"]
)
def test_no_store_is_silence(
    offered: Offered,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    store: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("GRIDFARM_STORE", store)
    monkeypatch.setattr(completion, "PATIENCE_S", 0.2)
    assert offered("rm", "") == ["@last", "a.yaml", "b.yml"]
    assert offered("grid", "--rows", "") == []
    assert capfd.readouterr() == ("", "")


def test_a_store_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "PATIENCE_S", 0.01)
    hangs = threading.Event()
    assert completion.within(lambda: [str(hangs.wait())]) == []
    hangs.set()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script_and_is_answered(
    batch: str, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    asked = SHELLS[shell](cli, {}, "gridfarm", "_GRIDFARM_COMPLETE")
    monkeypatch.setenv("COMP_WORDS", "gridfarm rm nig")
    monkeypatch.setenv("COMP_CWORD", "nig" if shell == "fish" else "2")
    assert batch in asked.complete()
    assert "_GRIDFARM_COMPLETE" in asked.source()


BASH = """
eval "$(_GRIDFARM_COMPLETE=bash_source gridfarm)"
COMP_WORDS=(gridfarm rm nig)
COMP_CWORD=2
_gridfarm_completion gridfarm
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_a_real_bash(batch: str) -> None:
    """The command as it is installed; nothing is said beside the answer."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "--norc", "-c", BASH],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    assert (ended.stdout, ended.stderr) == (f"{batch}\n", "")


def test_completing_imports_nothing_heavy(batch: str) -> None:
    """For a folder store neither boto3 nor Redis, Celery, numpy or Pillow is paid for."""
    code = f"""
import sys
from click.shell_completion import ShellComplete
from producer.cli.main import cli
asked = ShellComplete(cli, {{}}, "gridfarm", "_GRIDFARM_COMPLETE")
assert [i.value for i in asked.get_completions(["rm"], "nig")] == ["{batch}"]
heavy = {{"celery", "boto3", "redis", "numpy", "PIL", "rich", "torch"}}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    root = str(Path(__file__).parents[3])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": root})
