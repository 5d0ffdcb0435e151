"""Ctrl-C, whatever `gridfarm` is doing."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from producer.cli import interrupts
from producer.cli.interrupts import Interrupted, exit_code, like_ctrl_c
from tests.support.processes import PATIENCE_S

ROOT = Path(__file__).parents[3]
GRIDFARM = "producer.cli.__main__"

#: A finaliser in which a Ctrl-C comes: Python drops what is raised there, and goes on.
DROPS = """
import os, signal, time
from producer.cli import interrupts
interrupts.end_at_once()
interrupts.raise_again()
class Drops:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)
try:
    Drops()
    time.sleep(600)
except KeyboardInterrupt:
    print("heard")
"""


def heed_ctrl_c() -> None:
    """A test run in the background of a script ignores SIGINT, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("module", ["click", "pydantic", "producer.farm"])
def test_while_modules_are_loaded(module: str, tmp_path: Path) -> None:
    """130 and no traceback. Python says which module it has loaded."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", GRIDFARM, "render", "no-file.yaml"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, preexec_fn=heed_ctrl_c,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_what_python_drops_is_raised_again() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DROPS],
        cwd=ROOT, preexec_fn=heed_ctrl_c, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("heard\n", "")


def test_other_signals_in_a_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised, like_ctrl_c(signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert exit_code(raised.value) == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_nohup_keeps_off_is_kept_off() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with like_ctrl_c(signal.SIGHUP):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_exit_code_survives_click() -> None:
    def raises() -> None:
        raise Interrupted(signal.SIGHUP)

    with pytest.raises(click.Abort) as aborted:
        click.Command("x", callback=raises).main([], standalone_mode=False)
    assert exit_code(aborted.value) == 129
    assert exit_code(click.Abort()) == exit_code(KeyboardInterrupt()) == 130


def test_a_host_that_has_handlers_of_its_own_keeps_them() -> None:
    """As a script that calls `run` has."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.end_at_once()
        interrupts.raise_again()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


CLOSED = """
import os, sys
from producer.cli.interrupts import leave_closed_terminal
sys.stdin.readline()
found = leave_closed_terminal()
print("nobody reads this", file=sys.stderr, flush=True)
sys.exit(found)
"""


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_terminal_is_told_from_an_open_one(closed: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CLOSED], cwd=ROOT, stdin=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    if closed:
        os.close(ours)
    process.communicate("go on\n", timeout=PATIENCE_S)
    assert process.returncode == closed
