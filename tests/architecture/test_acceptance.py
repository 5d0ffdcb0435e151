"""The acceptance list names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.__main__ import PARTS

TESTS = Path(__file__).parents[1]
LIST = (TESTS / "ACCEPTANCE.md").read_text()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)*)`", LIST))))
def test_a_named_test_exists(named: str) -> None:
    file, *names = named.split("::")
    text = (TESTS / file).read_text()
    assert all(re.search(rf"^\s*(def|class) {name}\b", text, re.MULTILINE) for name in names)


def test_every_row_names_what_shows_it() -> None:
    rows = [row for row in LIST.splitlines() if row.startswith("| ")]
    data = [row for row in rows if not row.endswith("| shown by |")]
    assert len(data) > 20
    assert all(re.search(r"`[\w/]+\.py|`make chaos`", row.split("|")[3]) for row in data)


def test_every_part_of_make_chaos_is_named() -> None:
    assert {part for part in PARTS if re.search(rf"`make chaos` {part}\b", LIST)} == set(PARTS)
