"""Processes found by the folder that they were started in, whoever their parents are by now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

#: For what takes a second or two on a machine with nothing else to do.
PATIENCE_S = 60
LOOK_S = 0.005


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that run with `folder` as the current one, without this one; a dead one that nobody
    has asked for is none."""
    found = [process for process in psutil.process_iter() if _runs_in(process, folder)]
    return [process for process in found if process.pid != os.getpid()]


def with_words(folder: Path, *words: str) -> list[psutil.Process]:
    """Those of them that have these in their command line."""
    lines = {process: _command_line(process) for process in processes_of(folder)}
    return [process for process, line in lines.items() if all(word in line for word in words)]


def eventually(happens: Callable[[], object], *, or_say: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, or_say()
        time.sleep(LOOK_S)


def all_end(folder: Path) -> None:
    """Wait until nothing of it runs. Raises AssertionError with what does."""
    eventually(lambda: not processes_of(folder), or_say=lambda: with_words(folder))


def kill_all(folder: Path) -> None:
    """A test that failed leaves nothing behind."""
    for process in processes_of(folder):
        process.kill()


def _runs_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder
    except psutil.Error:
        return False


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
