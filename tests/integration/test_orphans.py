"""Whatever ends `gridfarm render`, at whatever moment: nothing of it goes on, nothing stays."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support import stub_worker
from tests.support.processes import (
    PATIENCE_S,
    all_end,
    eventually,
    kill_all,
    processes_of,
    with_words,
)
from tests.support.stub_farm import NAME as STUB

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

FILE = """
name: local
model: tiny
settings: {steps: 20, size: 64x64}
prompts: [a wolf]
seeds: 1..4
"""

#: What the command line of a process has in it, in the order in which they come.
GUARDIAN, BROKER = ("producer.guardian",), ("valkey-server", "127.0.0.1")
LAUNCHER, WORKER = (f"{STUB} worker ",), (stub_worker.NAME,)
MOMENTS = {"guardian": GUARDIAN, "broker": BROKER, "launcher": LAUNCHER, "worker": WORKER}

#: A program of somebody else that renders, is interrupted, and lives on.
SCRIPT = f"""
import sys
from producer import Farm
from producer.local import workers
workers.WORKER = ({STUB!r}, "worker")
try:
    Farm(store="out/store").render("batch.yaml", out="out", workers=2)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""


@dataclass
class Place:
    """A folder that nothing but the test's processes runs in."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def temporary(self) -> Path:
        return self.folder / "temporary"

    def start(self, *command: str, terminal: int | None = None) -> subprocess.Popen[str]:
        def prepare() -> None:
            # A run of the tests in the background ignores SIGINT, and its children would too.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if terminal is not None:
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}
        pipe = subprocess.PIPE if terminal is None else terminal
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder, env=os.environ | environment,
            stdin=subprocess.PIPE, stdout=pipe, stderr=pipe, text=True,
            start_new_session=True, preexec_fn=prepare,
        )  # fmt: skip

    def render(self, terminal: int | None = None) -> subprocess.Popen[str]:
        given = ("render", "batch.yaml", "--out=out", "--store=out/store", "--workers=2")
        return self.start("-m", STUB, *given, terminal=terminal)

    def runs(self, words: tuple[str, ...]) -> None:
        eventually(lambda: with_words(self.folder, *words))

    def nothing_is_left(self) -> None:
        all_end(self.folder)
        assert [*self.temporary.iterdir()] == []
        log = self.out / "workers.log"
        assert not log.exists() or "Traceback" not in log.read_text()

    @property
    def pictures(self) -> int:
        return len([*(self.out / "store" / "images").rglob("*.png")])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    place.temporary.mkdir()
    (tmp_path / "batch.yaml").write_text(FILE)
    yield place
    kill_all(tmp_path)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(place: Place, moment: str) -> None:
    process = place.render()
    place.runs(MOMENTS[moment])
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    place.nothing_is_left()


@pytest.mark.parametrize("moment", ["guardian", "broker", "worker"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(place: Place, number: int, moment: str) -> None:
    """As with Ctrl-C: one line says how to go on."""
    process = place.render()
    place.runs(MOMENTS[moment])
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, said
    assert said.rstrip().endswith("handed back; the same command goes on")
    assert "Traceback" not in said
    place.nothing_is_left()


def test_the_terminal_is_closed(place: Place) -> None:
    """What would be written to it is no error that hides the exit code."""
    ours, theirs = pty.openpty()
    process = place.render(terminal=theirs)
    os.close(theirs)
    place.runs(WORKER)
    os.close(ours)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGHUP
    place.nothing_is_left()


def test_all_of_it_is_killed_but_the_broker(place: Place) -> None:
    """As `killall -9 python` does: nobody is left to end it."""
    if sys.platform != "linux":
        pytest.skip("the system ends it, and only Linux does so")
    process = place.render()
    place.runs(WORKER)
    for one in processes_of(place.folder):
        if one not in with_words(place.folder, *BROKER):
            with suppress(psutil.NoSuchProcess):  # it ends by itself where its parent was first
                one.kill()
    process.communicate(timeout=PATIENCE_S)
    place.nothing_is_left()


def test_the_launcher_is_killed_while_its_processes_start(place: Place) -> None:
    process = place.render()
    place.runs(WORKER)
    for launcher in with_words(place.folder, *LAUNCHER):
        launcher.kill()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "the workers ended (SIGKILL)" in said
    place.nothing_is_left()


@pytest.mark.parametrize("moment", ["guardian", "launcher"])
def test_in_a_script_that_lives_on(place: Place, moment: str) -> None:
    """A notebook is one, too: a KeyboardInterrupt ends the farm and not the script."""
    script = place.start("-c", SCRIPT)
    place.runs(MOMENTS[moment])
    script.send_signal(signal.SIGINT)
    assert script.stdout
    assert script.stdout.readline() == "interrupted\n"
    eventually(lambda: [one.pid for one in processes_of(place.folder)] == [script.pid])
    script.communicate(timeout=PATIENCE_S)
    place.nothing_is_left()


def test_a_script_is_told_to_end(place: Place) -> None:
    """Its signals are its own: SIGTERM ends it as it ends any program."""
    script = place.start("-c", SCRIPT)
    place.runs(WORKER)
    script.terminate()
    script.communicate(timeout=PATIENCE_S)
    assert script.returncode == -signal.SIGTERM
    place.nothing_is_left()


def test_the_broker_is_killed(place: Place) -> None:
    """Said at once, with its last words; what is stored stays, and the same command goes on."""
    process = place.render()
    eventually(lambda: place.pictures)
    with suppress(IndexError):
        with_words(place.folder, *BROKER)[0].kill()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert "the broker that this render has started on this machine ended (SIGKILL):" in said
    assert "Ready to accept connections" in said
    assert "the same command goes on" in said
    place.nothing_is_left()
    stored = place.pictures
    again = place.render()
    _, said = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, said
    # What was on its way when the broker died may have been the rest.
    assert f"{stored} stored already" in said or (stored == 4 and "nothing to render" in said)
    assert place.pictures == 4
