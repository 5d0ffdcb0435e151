"""What the launcher hands to a worker process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from worker.cli import main
from worker.supervisor import ProcessOptions

OPTIONS = ProcessOptions(
    threads=2, cpu_threads=1, gpu="l4", device="cuda:1", grace=0.5, stall=3.0, machine="m",
    log_format="json", launched=True,
)  # fmt: skip


def test_they_survive_their_way() -> None:
    assert ProcessOptions.from_json(OPTIONS.to_json()) == OPTIONS
    assert ProcessOptions.from_json("{}") == ProcessOptions()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"colour": "red"}'])
def test_what_are_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ProcessOptions.from_json(text)


def test_each_is_an_option_of_the_command_but_what_tests_and_the_launcher_give() -> None:
    """So an option that is added to one place only is found."""
    offered = {parameter.name for parameter in main.params}
    assert {field.name for field in fields(ProcessOptions)} - offered == {"machine", "launched"}


def test_a_process_that_cannot_read_them_says_so() -> None:
    command = [sys.executable, "-m", "worker.cli", "process", "nonsense"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (2, 0)
    assert "Expecting value" in ended.stderr
