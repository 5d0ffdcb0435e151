"""The tree of errors: what the command line ends with, and how mistakes are written down."""

from __future__ import annotations

import re

import pytest

from common import errors
from common.errors import BatchFileError, GridfarmError, Problem

#: Name → the exit code that the tree in the module's docstring promises, its own or its parent's.
EXIT_CODES = {
    "GridfarmError": 1,
    "BatchFileError": 2,
    "UsageError": 2,
    "InputFileError": 2,
    "StoreError": 3,
    "StoreUnreachable": 3,
    "StoreRefused": 3,
    "StoreFull": 3,
    "StoreForeign": 3,
    "ObjectMissing": 3,
    "BrokerAway": 3,
    "BrokerError": 3,
    "BrokerUnreachable": 3,
    "BrokerRefused": 3,
    "BrokerEnded": 3,
    "HubError": 3,
    "TooLarge": 1,
    "NotFound": 2,
    "CellError": 1,
    "BadInput": 2,
    "AssetGone": 2,
    "SuspectPicture": 1,
}


def kinds(kind: type[GridfarmError] = GridfarmError) -> list[type[GridfarmError]]:
    """`kind` and all below it that this module defines."""
    below = [inner for sub in kind.__subclasses__() for inner in kinds(sub)]
    return [kind, *(inner for inner in below if inner.__module__ == errors.__name__)]


def test_exit_codes() -> None:
    assert {kind.__name__: kind.exit_code for kind in kinds()} == EXIT_CODES


def test_the_docstring_draws_the_whole_tree() -> None:
    drawn = re.findall(r"^(?:    |.*── )([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(EXIT_CODES)


def test_an_error_has_a_message_and_may_have_a_hint() -> None:
    error = GridfarmError("no such thing", hint="look there")
    assert (str(error), error.message, error.hint) == (
        "no such thing",
        "no such thing",
        "look there",
    )
    assert GridfarmError("no such thing").hint == ""


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("settings.steps", "is 0", "1 to 1000"), "settings.steps: is 0 (1 to 1000)"),
        (Problem("settings.steps", "is 0"), "settings.steps: is 0"),
        (Problem("", "is empty"), "is empty"),
    ],
)
def test_a_problem_names_its_place(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_batch_file_error_has_every_problem() -> None:
    one, two = Problem("seeds", "is missing"), Problem("", "has no name")
    assert str(BatchFileError("a.yaml", [one])) == "a.yaml: one mistake\n  seeds: is missing"
    several = BatchFileError("a.yaml", [one, two])
    assert several.message == "a.yaml: 2 mistakes\n  seeds: is missing\n  has no name"
    assert several.problems == (one, two)
