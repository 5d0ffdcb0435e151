"""Random seeds are told by their first digits."""

from __future__ import annotations

import pytest

from common.batch import Axis, RangeAxis, Value, numbered_seed
from producer.language.axes import in_full, short_labels

SEEDS = ("12426054289685354689", "12427200041832915037", "10603912086726310123", "7", "lucky")


def seeds(*labels: str, name: str = "seed") -> Axis:
    return Axis(name=name, values=tuple(Value(label=la, settings={name: la}) for la in labels))


def test_a_label_is_its_shortest_beginning_that_no_other_has() -> None:
    short = dict(zip(SEEDS, ("12426…", "12427…", "1060…"), strict=False))
    assert short_labels(seeds(*SEEDS)) == short
    assert {full: in_full(seeds(*SEEDS), label) for full, label in short.items()} == {
        label: label for label in short
    }


def test_ten_thousand_seeds_have_ten_thousand_short_labels() -> None:
    axis = seeds(*(numbered_seed("7", number) for number in range(10_000)))
    short = short_labels(axis)
    assert len({*short.values()}) == 10_000
    assert max(map(len, short.values())) <= 12
    assert all(in_full(axis, label) == full for full, label in [*short.items()][:50])


@pytest.mark.parametrize("written", ["124", "1242", "9999", "7", "7…", "lucky", "", "…", "1e19"])
def test_what_begins_no_label_or_several_is_none(written: str) -> None:
    assert in_full(seeds(*SEEDS), written) is None


def test_only_long_seeds_in_a_list_are_cut() -> None:
    assert short_labels(seeds("123456789", "1")) == {}
    assert short_labels(seeds(*SEEDS, name="steps")) == {}
    assert short_labels(RangeAxis(name="seed", first="10000000000", last="20000000000")) == {}
    assert in_full(RangeAxis(name="seed", first="10000", last="20000"), "1234") is None
