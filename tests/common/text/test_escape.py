"""What a terminal obeys is shown; what a reader needs stays."""

from __future__ import annotations

import json

import click
import pytest

from common.text import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x1b[2J", r"\u001b[2J"),
        ("\x1b[38;5;1m", r"\u001b[38;5;1m"),
        ("100 %\r", r"100 %\u000d"),
        ("\x9b", r"\u009b"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_and_turned_writing_are_shown(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab", "käse 狼 🐺", click.style("!", fg="red")])
def test_lines_tabs_plain_colours_and_other_scripts_stay(text: str) -> None:
    assert escaped(text) == text


def test_in_json_it_means_what_it_was() -> None:
    text = "\x1b\x07\u202e"
    assert json.loads(f'"{escaped(text)}"') == text
