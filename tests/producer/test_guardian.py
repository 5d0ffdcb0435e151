"""A program that ends with its guardian, and the guardian with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common import lifeline
from producer import guardian
from tests.support.processes import PATIENCE_S, eventually, kill_all, with_words

Guarded = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """Start a program under a guardian, in a folder of their own. It reads `tmp_path`/stdin."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stdin").write_text("something to read\n")

    def start(*command: str) -> subprocess.Popen[bytes]:
        with Path("stdin").open("rb") as stdin, Path("output").open("wb") as output:
            number = stdin.fileno()
            return lifeline.start(
                guardian.__name__, str(number), *command, output=output, pass_fds=(number,)
            )

    yield start
    kill_all(tmp_path)


def runs(folder: Path) -> None:
    eventually(lambda: [one for one in with_words(folder, "sleep 600") if _is_program(one)])


def _is_program(process: object) -> bool:
    return getattr(process, "name", str)() == "sleep"


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_it_ends_as_the_program_does(guarded: Guarded, script: str, code: int) -> None:
    assert guarded("sh", "-c", script).wait(PATIENCE_S) == code


def test_the_program_reads_what_it_is_given(guarded: Guarded, tmp_path: Path) -> None:
    assert guarded("cat").wait(PATIENCE_S) == 0
    assert (tmp_path / "output").read_text() == "something to read\n"


def test_no_such_program(guarded: Guarded, tmp_path: Path) -> None:
    assert guarded("no-such-program").wait(PATIENCE_S) == 1
    assert (tmp_path / "output").read_text() == "no-such-program: No such file or directory\n"


def test_whoever_started_it_lets_go(guarded: Guarded, tmp_path: Path) -> None:
    process = guarded("sleep", "600")
    runs(tmp_path)
    assert process.stdin
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 128 + signal.SIGKILL
    assert with_words(tmp_path, "sleep") == []


def test_a_machine_that_shuts_down_tells_it_to_end(guarded: Guarded, tmp_path: Path) -> None:
    """The render has been told too, and needs the broker to hand back."""
    process = guarded("sleep", "600")
    runs(tmp_path)
    process.terminate()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends it, and only Linux does so")
def test_the_guardian_is_killed(guarded: Guarded, tmp_path: Path) -> None:
    process = guarded("sleep", "600")
    runs(tmp_path)
    process.kill()
    eventually(lambda: not with_words(tmp_path, "sleep"))
