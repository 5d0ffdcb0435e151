"""`--prompt` and `--seeds` instead of a file."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from producer.cli.main import cli


def plan(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["plan", *arguments])


@pytest.mark.parametrize(
    ("seeds", "count"), [("1..4", 4), ("3,5,8", 3), ("7", 1), ("{random: 8, from: 1}", 8)]
)
def test_without_a_file(seeds: str, count: int) -> None:
    answer = plan("--prompt", 'a "wolf": chilly, {{x}}', "--prompt", "b", "--seeds", seeds)
    assert answer.exit_code == 0, answer.output
    assert f"{2 * count} cells" in answer.output
    assert 'a "wolf": chilly' in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("batch.yaml", "--prompt", "a"), "both given"),
        (("--seeds", "1"), "--seeds goes with --prompt"),
        ((), "FILE is missing"),
        (("--prompt", "a", "--seeds", "9..1"), "the command line"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str) -> None:
    answer = plan(*arguments)
    assert message in str(answer.exception)
