"""Ranges: both ends included, in decimals, and what is wrong with others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from producer.language import Mistake
from producer.language.axes import RANGE_PATTERN, between
from producer.language.axes.ranges import is_like_a_range, read_range
from producer.language.settings import Scope, find_setting
from producer.language.yaml import plain


def values(name: str, text: str) -> list[str]:
    setting = find_setting(name)
    assert setting
    return [*read_range(name, setting, plain(text), Scope(Path("/batches"))).labels()]


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("seed", "0..3", ["0", "1", "2", "3"]),
        ("seed", " 7 .. 7 ", ["7"]),
        ("steps", "10..30 by 10", ["10", "20", "30"]),
        ("steps", "10..35 by 10", ["10", "20", "30"]),
        ("guidance_scale", "5..6.5 by 0.5", ["5", "5.5", "6", "6.5"]),
        ("guidance_scale", "07.50..08.50", ["7.5", "8.5"]),
        ("lora_scale", "0..0.3 by 0.1", ["0", "0.1", "0.2", "0.3"]),
    ],
)
def test_both_ends_are_included_in_decimals(name: str, text: str, labels: list[str]) -> None:
    assert values(name, text) == labels
    assert re.search(RANGE_PATTERN, text)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("seed", "0..", "not-a-range"),
        ("seed", "0...3", "not-a-range"),
        ("seed", "0..3 by", "not-a-range"),
        ("seed", "3..0", "runs-backwards"),
        ("steps", "0..3", "out-of-bounds"),
        ("steps", "1..3 by 0", "step-not-above-0"),
        ("steps", "1..3 by -1", "step-not-above-0"),
        ("steps", "1..3 by 0.5", "step-not-whole"),
        ("guidance_scale", "1..2.5", "misses-its-end"),
    ],
)
def test_what_is_wrong_with_a_range(name: str, text: str, kind: str) -> None:
    with pytest.raises(Mistake) as raised:
        values(name, text)
    assert [finding.kind for finding in raised.value.findings] == [kind]


def test_a_range_may_be_meant_that_is_none() -> None:
    assert is_like_a_range("0..99") and is_like_a_range(" -1.5 ..") and is_like_a_range("0...3")
    assert not is_like_a_range("a..b") and not is_like_a_range("3.5")


def test_between_has_no_step() -> None:
    assert between(plain("05..13.0")) == ("5", "13")
    assert between(plain("5..13 by 2")) is None
    assert between(plain("5")) is None
