"""The launcher with real processes that do nothing but write down what happens to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from worker.supervisor import QUARANTINED
from worker.supervisor.exit_codes import UNREACHABLE, USAGE
from worker.supervisor.launcher import GIVE_UP_AFTER

CHILD = """
import os, signal, sys, threading
log = open(sys.argv[1], "a", buffering=1)
print("start", os.getpid(), file=log)
if "imports" in sys.argv:
    threading.Event().wait()
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda n, _: print("signal", n, file=log))
if "deaf" in sys.argv:
    signal.pause(), signal.pause()
if "code" in sys.argv:
    sys.exit(int(sys.argv[sys.argv.index("code") + 1]))
def read():
    for line in sys.stdin:
        print("notice", line.strip(), file=log)
        os._exit(0)
threading.Thread(target=read, daemon=True).start()
signal.pause()
if "twice" in sys.argv:
    signal.pause()
"""

LAUNCHER = """
import json, sys
from tests.support.clouds import CloudStub
from worker.logs import set_up_logging
from worker.preemption import Metadata, NoticeWatcher
from worker.supervisor import Launcher, ProcessOptions, Slot, launcher, slot
plan = json.loads(sys.argv[1])
set_up_logging("json")
slot.BACK_OFF_S, slot.QUARANTINE_PAUSE_S, launcher.LATEST_S = (0.05,), 0.05, 0.5
slots = [
    Slot(ProcessOptions(), {}, ("launched_child", log, *plan["arguments"])) for log in plan["logs"]
]
watcher = NoticeWatcher("gcp", Metadata(plan["url"])) if plan["url"] else None
sys.exit(Launcher(slots, watcher=watcher, grace_s=plan["grace"]).run())
"""


class Launched:
    """A launcher process with `count` children; `lines(n)` is what the nth wrote down."""

    def __init__(
        self, folder: Path, *arguments: str, count: int = 1, url: str = "", grace: float = 30
    ) -> None:
        (folder / "launched_child.py").write_text(CHILD)
        self.logs = [folder / f"child-{n}.log" for n in range(count)]
        plan = {
            "arguments": arguments, "url": url, "grace": grace,
            "logs": [str(log) for log in self.logs],
        }  # fmt: skip
        self.stderr = folder / "launcher.log"
        with self.stderr.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, json.dumps(plan)],
                stderr=out,
                env=os.environ | {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{folder}"},
            )

    def lines(self, n: int = 0) -> list[str]:
        return self.logs[n].read_text().splitlines() if self.logs[n].exists() else []

    def children(self, n: int = 0) -> list[int]:
        return [int(line.split()[1]) for line in self.lines(n) if line.startswith("start")]

    def eventually(self, happens: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not happens():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def started(self, times: int = 1) -> None:
        self.eventually(lambda: all(len(self.children(n)) >= times for n in range(len(self.logs))))
        time.sleep(0.1)  # until its handlers are set

    def ended(self) -> int:
        return self.process.wait(30)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    made: list[Launched] = []

    def start(*arguments: str, count: int = 1, url: str = "", grace: float = 30) -> Launched:
        made.append(Launched(tmp_path, *arguments, count=count, url=url, grace=grace))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_passed_on_to_all_and_the_end_is_clean(launched, number: int) -> None:
    farm = launched(count=2)
    farm.started()
    farm.process.send_signal(number)
    assert farm.ended() == 0
    assert [farm.lines(n)[-1] for n in range(2)] == [f"signal {number}"] * 2
    assert all(len(farm.children(n)) == 1 for n in range(2)), "none was started again"


def test_a_second_signal_is_passed_on_too(launched) -> None:
    farm = launched("twice")
    farm.started()
    farm.process.send_signal(signal.SIGTERM)
    farm.eventually(lambda: "signal 15" in farm.lines())
    farm.process.send_signal(signal.SIGINT)
    assert farm.ended() == 0
    assert farm.lines()[-2:] == ["signal 15", "signal 2"]


def test_the_clouds_notice_is_told_to_each(launched) -> None:
    """Once for the machine; with the seconds that are left, and nothing is started again."""
    from tests.support.clouds import CloudStub

    with CloudStub("gcp") as cloud:
        farm = launched(count=2, url=cloud.url)
        farm.started()
        cloud.take_away(seconds=30)
        assert farm.ended() == 0
    for n in range(2):
        message = json.loads(farm.lines(n)[-1].removeprefix("notice "))
        assert message["source"] == "GCP preempts this machine"
        assert 25 < message["seconds"] <= 30
        assert len(farm.children(n)) == 1


def test_a_killed_process_is_started_again_without_end(launched) -> None:
    """More often than a broken install would be."""
    farm = launched()
    for times in range(1, GIVE_UP_AFTER + 3):
        farm.started(times)
        os.kill(farm.children()[-1], signal.SIGKILL)
    farm.started(GIVE_UP_AFTER + 3)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 0


@pytest.mark.parametrize(
    ("code", "starts", "ends"),
    [(USAGE, 1, USAGE), (UNREACHABLE, 1, UNREACHABLE), (1, GIVE_UP_AFTER, 1), (QUARANTINED, 2, 1)],
    ids=["wrong settings", "no broker at the start", "broken install", "bad machine"],
)
def test_what_will_not_live_is_not_started_for_ever(
    launched, code: int, starts: int, ends: int
) -> None:
    farm = launched("code", str(code))
    assert farm.ended() == ends
    assert len(farm.children()) == starts


def test_one_bad_gpu_leaves_the_others_at_work(launched, tmp_path: Path) -> None:
    farm = launched(count=2)
    farm.started()
    (tmp_path / "launched_child.py").write_text(f"import sys; sys.exit({QUARANTINED})")
    os.kill(farm.children(0)[0], signal.SIGKILL)
    farm.eventually(lambda: "no other is started" in farm.stderr.read_text())
    assert farm.process.poll() is None
    os.kill(farm.children(1)[0], 0)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 0


def test_a_gpu_that_is_gone_later_does_not_end_the_others_at_once(launched, tmp_path: Path) -> None:
    """What ends with "wrong settings" after it has worked was not set wrongly."""
    farm = launched(count=2)
    farm.started()
    (tmp_path / "launched_child.py").write_text(f"import sys; sys.exit({USAGE})")
    os.kill(farm.children(0)[0], signal.SIGKILL)
    farm.eventually(lambda: f"ended with {USAGE}; starting another" in farm.stderr.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_processes_that_still_import(launched, number: int) -> None:
    """At once: nothing has begun in them."""
    farm = launched("imports", count=2)
    farm.started()
    farm.process.send_signal(number)
    assert farm.ended() == 0
    assert "Traceback" not in farm.stderr.read_text()


@pytest.mark.parametrize("arguments", [[], ["imports"]], ids=["", "that import"])
def test_a_launcher_that_is_killed_leaves_no_processes(launched, arguments: list[str]) -> None:
    """Each hands back what it has, as with SIGINT; one that has nothing yet ends at once."""
    farm = launched(*arguments, count=2)
    farm.started()
    children = [farm.children(n)[0] for n in range(2)]
    farm.process.kill()
    farm.process.wait()
    farm.eventually(lambda: not any(psutil.pid_exists(pid) for pid in children))
    if not arguments:
        assert [farm.lines(n)[-1] for n in range(2)] == [f"signal {signal.SIGINT}"] * 2


def test_nohup_keeps_a_closed_terminal_off(launched) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        farm = launched()
    finally:
        signal.signal(signal.SIGHUP, before)
    farm.started()
    farm.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        farm.process.wait(0.5)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 0


def test_a_process_that_does_not_hear_is_killed(launched) -> None:
    farm = launched("deaf", grace=0.2)
    farm.started()
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(farm.children()[0], 0)


def test_each_line_of_the_json_log_is_an_object(launched) -> None:
    farm = launched("code", str(UNREACHABLE + 98))
    farm.ended()
    lines = [json.loads(line) for line in farm.stderr.read_text().splitlines()]
    assert lines
    assert all(set(line) >= {"time", "level", "message"} for line in lines)
