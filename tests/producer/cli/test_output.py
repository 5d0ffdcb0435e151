"""Results alone on stdout, as text or as one line of JSON; everything else on stderr."""

from __future__ import annotations

import json
import sys

import pytest

from common.errors import BatchFileError, NotFound, Problem
from producer.cli.output import Output, error_json, print_error

Capture = pytest.CaptureFixture[str]


def test_a_result_is_text_or_one_object(capsys: Capture) -> None:
    Output().result({"jobs": 2}, "2 pictures")
    assert capsys.readouterr() == ("2 pictures\n", "")
    Output(as_json=True).result({"name": "käse\n"}, "a name")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('{"name": "käse\\n"}\n', "")


def test_what_a_terminal_obeys_is_shown_there_and_kept_in_a_file(capsys: Capture) -> None:
    Output().result({}, "\x07")
    assert capsys.readouterr().out == "\x07\n"


def test_nothing_rings_the_bell_of_a_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Output().result({}, "\x07")
    assert capsys.readouterr().out == "\\u0007\n"


def test_json_is_escaped_everywhere_and_means_the_same(capsys: Capture) -> None:
    Output(as_json=True).result({"prompt": "\u202ewolf\x9b"}, "")
    printed = capsys.readouterr().out
    assert "\u202e" not in printed
    assert json.loads(printed) == {"prompt": "\u202ewolf\x9b"}


def test_the_same_message_is_said_once(capsys: Capture) -> None:
    out = Output(as_json=True)
    for text in ("uploading", "uploading", "done"):
        out.say(text)
    assert capsys.readouterr() == ("", "uploading\ndone\n")


def test_no_bars_without_a_terminal(capsys: Capture) -> None:
    out = Output()
    out.progress("uploading", 1, 2)
    out.end_progress()
    assert capsys.readouterr() == ("", "")


def test_an_error_and_its_hint(capsys: Capture) -> None:
    print_error(NotFound("no batch\x1b", hint="gridfarm list"), as_json=False)
    assert capsys.readouterr() == ("", "Error: no batch\\u001b\n  gridfarm list\n")


def test_with_json_an_error_is_an_object_too(capsys: Capture) -> None:
    print_error(NotFound("no batch"), as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"error": "NotFound", "message": "no batch", "hint": ""}
    assert printed.err == "Error: no batch\n"


def test_a_batch_files_error_has_its_problems() -> None:
    problem = Problem("settings.steps", "is 0", "1 to 1000")
    assert error_json(BatchFileError("a.yaml", [problem]))["problems"] == [
        {"path": "settings.steps", "message": "is 0", "hint": "1 to 1000"}
    ]
