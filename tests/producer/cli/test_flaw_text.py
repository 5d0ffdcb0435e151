"""What is wrong with stored pictures, as a person reads it."""

from __future__ import annotations

from producer.cli.flaw_text import SHOWN_FLAWS, flaw_lines, mending
from producer.pictures import Flaw

LABELS = {"prompt": "a wolf\nin snow " + "far away " * 20, "seed": "3"}


def flaws(count: int) -> list[Flaw]:
    return [Flaw(i, LABELS, "damaged", "the stored picture is damaged") for i in range(count)]


def test_each_is_named_by_number_and_labels_on_one_line() -> None:
    cell, reason = flaw_lines(flaws(1), 1)
    assert cell.startswith("  #0 a wolf in snow far away") and cell.endswith("… · 3")
    assert len(cell) < 60
    assert reason == "    the stored picture is damaged"


def test_the_only_cell_has_no_labels() -> None:
    assert flaw_lines([Flaw(0, {}, "missing", "gone")], 1) == ["  #0", "    gone"]


def test_of_many_the_first_are_shown() -> None:
    lines = flaw_lines(flaws(SHOWN_FLAWS + 5), 1_200)
    assert len(lines) == 2 * SHOWN_FLAWS + 1
    assert lines[-1] == f"  … {1_200 - SHOWN_FLAWS:,} more; --json has them"


def test_what_to_do() -> None:
    assert mending("night-1", {}, noted=True) == []
    draws_it = ["gridfarm retry night-1 draws it again"]
    assert mending("night-1", {"missing": 1}, noted=True) == draws_it
    assert mending("night-1", {"missing": 1, "damaged": 1, "unreadable": 1}, noted=True) == [
        "gridfarm retry night-1 draws them again",
        "1 picture will come when the store hands it out",
    ]


def test_without_a_broker_no_order_to_a_farm_is_advised() -> None:
    assert mending("night-1", {"missing": 2}, noted=True, on_a_farm=False) == [
        "the same gridfarm render FILE draws them again"
    ]


def test_what_is_damaged_and_not_noted_is_drawn_again_by_no_retry() -> None:
    assert mending("night-1", {"damaged": 2}, noted=False) == []
    assert mending("night-1", {"missing": 2}, noted=False) == [
        "gridfarm retry night-1 draws them again"
    ]
    assert mending("night-1", {"missing": 1, "damaged": 2}, noted=False) == [
        "gridfarm retry night-1 draws what is missing again"
    ]
