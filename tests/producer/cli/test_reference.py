"""The command reference is the commands' own help, and it is a page for each."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from producer.cli.main import COMMANDS, load_command
from producer.cli.reference import REGENERATE, reference

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), f"regenerate it: {REGENERATE}"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_commands_help_is_a_page(name: str) -> None:
    """It says what each argument is, shows a line to paste, and explains every option."""
    command = load_command(name)
    text = command.help or ""
    assert f"  gridfarm {name}" in text.partition("\b\n")[2], "it shows no line to paste"
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.opts[0]} is not explained"
        else:
            words = re.findall("[A-Z]{3,}", param.make_metavar(click.Context(command)))
            assert words and all(word in text for word in words)


def test_help_names_no_option_that_is_not_there() -> None:
    commands = [load_command(name) for name in COMMANDS]
    options = [option for command in commands for option in command.params]
    known = {flag for option in options for flag in option.opts}
    helps = " ".join(command.help or "" for command in commands)
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", helps)) <= known
