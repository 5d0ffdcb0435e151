"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import lifeline
from tests.support.processes import PATIENCE_S, eventually, kill_all, processes_of

ROOT = Path(__file__).parents[2]

#: What a child does: it says that it runs, and stays.
CHILD = "import sys, time; print(*sys.argv[1:], flush=True); time.sleep(600)"
HEEDS = (
    "import signal; signal.signal(signal.SIGINT, lambda *_: (print('heard', flush=True), exit()))"
)

PARENT = """
import os, sys
from common import lifeline
child = lifeline.start("staying_child", output=sys.stdout)
if "forks" in sys.argv:
    os.fork()
import time; time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of the children's own, with the module that they run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "staying_child.py").write_text(CHILD)
    yield tmp_path
    kill_all(tmp_path)


def started(process: subprocess.Popen[bytes], says: bytes = b"\n") -> None:
    assert process.stdout
    assert process.stdout.readline() == says


def test_it_is_run_with_its_arguments(folder: Path) -> None:
    with (folder / "log").open("wb") as output:
        process = lifeline.start("staying_child", "a", "b c", output=output)
    eventually((folder / "log").read_bytes)
    assert (folder / "log").read_bytes() == b"a b c\n"
    process.kill()
    process.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("arguments", [[], ["forks"]], ids=["", "that has forked"])
def test_the_parent_is_killed(folder: Path, arguments: list[str]) -> None:
    """A fork of it holds the pipe open, and is no parent."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE, cwd=folder
    )
    started(parent)
    children = [one for one in processes_of(folder) if "staying_child" in one.cmdline()]
    assert len(children) == 1
    parent.kill()
    parent.wait(PATIENCE_S)
    eventually(lambda: children[0] not in processes_of(folder))
    kill_all(folder)
    parent.communicate(timeout=PATIENCE_S)


def test_folders_of_a_persons_own_are_not_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is started, there may be others of the same names."""
    (folder / "project").mkdir()
    monkeypatch.chdir(folder / "project")
    for name in ("common", "staying_child"):
        Path(f"{name}.py").write_text("raise SystemExit('not meant')")
    with (folder / "log").open("wb") as output:
        process = lifeline.start("staying_child", "runs", output=output)
    eventually((folder / "log").read_bytes)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert (folder / "log").read_bytes() == b"runs\n"


def test_the_parent_lets_go(folder: Path) -> None:
    with (folder / "log").open("wb") as output:
        process = lifeline.start("staying_child", output=output)
    eventually((folder / "log").read_bytes)
    assert process.stdin
    process.stdin.close()
    assert process.wait(PATIENCE_S) == -signal.SIGINT


def test_nobody_holds_it(folder: Path) -> None:
    """As when a KeyboardInterrupt comes before it has a name, in a notebook that lives on."""
    with (folder / "log").open("wb") as output:
        lifeline.start("staying_child", output=output)
    eventually(lambda: not processes_of(folder))


def test_a_child_that_heeds_sigint_ends_in_its_own_way(folder: Path) -> None:
    (folder / "staying_child.py").write_text(f"{HEEDS}\n{CHILD}")
    with (folder / "log").open("wb") as output:
        process = lifeline.start("staying_child", output=output)
    eventually((folder / "log").read_bytes)
    assert process.stdin
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
    assert (folder / "log").read_bytes().endswith(b"\nheard\n")


@pytest.mark.parametrize("loaded", [b"", b"_signal", b"runpy"], ids=bytes.decode)
def test_sigint_while_it_starts(folder: Path, loaded: bytes) -> None:
    """Python's own handler, which an import may swallow and which prints a traceback, never has
    its turn, however early the signal comes. Python says what it has loaded."""
    for _ in range(3):
        with (folder / "log").open("wb") as output:
            said = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
            process = lifeline.start("staying_child", environment=said, output=output)
        eventually(lambda: loaded in (folder / "log").read_bytes())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == -signal.SIGINT
        assert b"Traceback" not in (folder / "log").read_bytes()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "it is heeded here"
