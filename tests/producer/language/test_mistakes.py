"""Mistakes are collected with their paths, and one does not hide the next."""

from __future__ import annotations

import pytest

from producer.language import Mistake
from producer.language.mistakes import MAX_FINDINGS, EnoughMistakes, Finding, collecting, read_each


def test_a_mistake_is_kept_with_the_path_in_front_and_reading_goes_on() -> None:
    findings: list[Finding] = []
    for name in ("a", "b"):
        with collecting(findings, f"settings.{name}"):
            raise Mistake("not-a-setting", 3, name=name)
    assert [finding.path for finding in findings] == ["settings.a", "settings.b"]
    assert findings[1] == Finding("not-a-setting", {"node": 3, "name": "b"}, "settings.b")


@pytest.mark.parametrize(
    ("outside", "inside", "path"),
    [("axes", "steps", "axes.steps"), ("", "words", "words"), ("seeds", "", "seeds"), ("", "", "")],
)
def test_paths_grow_from_inside_out(outside: str, inside: str, path: str) -> None:
    findings: list[Finding] = []
    with collecting(findings, outside):
        raise Mistake("no-values", path=inside)
    assert [finding.path for finding in findings] == [path]


def test_what_is_no_mistake_is_let_through() -> None:
    with pytest.raises(KeyError), collecting([], "settings"):
        raise KeyError


def test_of_many_mistakes_no_more_are_read() -> None:
    findings: list[Finding] = []
    with pytest.raises(EnoughMistakes):
        for number in range(MAX_FINDINGS + 1):
            with collecting(findings, f"{number}"):
                raise Mistake("no-values")
    assert len(findings) == MAX_FINDINGS


def test_every_entry_is_read_before_the_mistakes_of_all_are_raised() -> None:
    def read(_name: str, written: int) -> int:
        if written < 0:
            raise Mistake("out-of-bounds", written)
        return 2 * written

    assert read_each({"a": 1, "b": 2}, read) == {"a": 2, "b": 4}
    with pytest.raises(Mistake) as caught:
        read_each({"a": -1, "b": 2, "c": -3}, read)
    assert [(finding.path, finding.facts) for finding in caught.value.findings] == [
        ("a", {"node": -1}),
        ("c", {"node": -3}),
    ]
