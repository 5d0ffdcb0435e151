"""Numbers and their bounds: what is inside, and what a message says of them."""

from __future__ import annotations

import pytest

from producer.language import Mistake
from producer.language.settings import Bounds
from producer.language.settings.numbers import read_number
from producer.language.yaml import Entries, Items, Node, plain

WHOLE = Bounds(1, 1000, whole=True)
FROM = Bounds(0, 100)
ABOVE = Bounds(0, 1, above=True)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (WHOLE, "a whole number from 1 to 1000"),
        (FROM, "a number from 0 to 100"),
        (ABOVE, "a number above 0 to 1"),
    ],
)
def test_bounds_say_what_they_hold(bounds: Bounds, text: str) -> None:
    assert str(bounds) == text


@pytest.mark.parametrize(
    ("bounds", "text", "number"),
    [(WHOLE, "1", 1), (WHOLE, "1000", 1000), (FROM, "0", 0), (FROM, "7.5", 7.5), (ABOVE, "1", 1)],
)
def test_numbers_within(bounds: Bounds, text: str, number: float) -> None:
    assert read_number(plain(text), bounds) == number


@pytest.mark.parametrize(
    ("bounds", "node"),
    [
        (WHOLE, plain("0")),
        (WHOLE, plain("1001")),
        (WHOLE, plain("5.0")),
        (WHOLE, plain("true")),
        (FROM, plain("-0.1")),
        (FROM, plain(".nan")),
        (FROM, plain("much")),
        (ABOVE, plain("0")),
        (ABOVE, plain("1.01")),
        (FROM, Items((plain("1"),))),
        (FROM, Entries({})),
    ],
)
def test_all_else_is_out_of_bounds(bounds: Bounds, node: Node) -> None:
    with pytest.raises(Mistake) as raised:
        read_number(node, bounds)
    (finding,) = raised.value.findings
    assert finding.kind == "out-of-bounds"
    assert finding.facts == {"bounds": bounds, "node": node}
