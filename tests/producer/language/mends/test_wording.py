"""How a row of the table becomes a message: formats, functions, and texts of any length."""

from __future__ import annotations

import pytest

from common.errors import Problem
from producer.language import problem_of
from producer.language.mends import wording
from producer.language.mends.table import Row, Words
from producer.language.mistakes import Finding


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("must be {node}, not {name!r}", "must be a, not 'b'"),
        ("at most {most:,}, in {{braces}}", "at most 1,000, in {braces}"),
        ("{long!q}", repr("x" * 79 + "…")),
        (lambda name: f"a function of {name}", "a function of b"),
        (lambda: "a function of nothing", "a function of nothing"),
        ("", ""),
    ],
    ids=["conversions", "formats", "a line of a text", "function", "no facts", "no mend"],
)
def test_words(words: Words, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "TABLE", {"odd": Row("{name}", words)})
    facts = {"node": "a", "name": "b", "most": 1000, "long": "x" * 500}
    assert problem_of(Finding("odd", facts, "a.1")) == Problem("a.1", "b", said)


def test_a_kind_without_a_row_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError, match="no-such-kind"):
        problem_of(Finding("no-such-kind"))


def test_braces_in_what_was_written_are_no_formats() -> None:
    problem = problem_of(Finding("no-such-key", {"name": "{0.__class__}", "node": 1, "known": {}}))
    assert problem.message == "is not a key of a batch file"
    assert problem_of(Finding("seed-name", {"name": "{x}"})).message.startswith("'{x}' would be")
