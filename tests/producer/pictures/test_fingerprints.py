"""Pictures of another kind of machine: groups by what differs from the most frequent one."""

from __future__ import annotations

from PIL import Image
from pydantic import JsonValue

from producer.pictures import Failed, FingerprintGroup, Outcome, Picture, odd_fingerprints

IMAGE = Image.new("RGB", (8, 8))


def rendered(**fingerprint: JsonValue) -> Picture:
    return Picture(IMAGE, fingerprint)


def test_the_majority_is_no_group() -> None:
    outcomes: dict[int, Outcome] = {
        0: rendered(gpu="L4", torch="2.13"),
        1: rendered(gpu="A10G", torch="2.12"),
        2: rendered(torch="2.13", gpu="L4"),
    }
    said = "gpu A10G (the others: L4), torch 2.12 (the others: 2.13)"
    assert odd_fingerprints(outcomes) == [FingerprintGroup("A", frozenset({1}), said)]


def test_each_other_fingerprint_is_a_group_the_larger_first() -> None:
    names = ["L4", "L4", "L4", "T4", "A10G", "A10G"]
    groups = odd_fingerprints({i: rendered(gpu=name) for i, name in enumerate(names)})
    assert [(group.mark, sorted(group.cells)) for group in groups] == [("A", [4, 5]), ("B", [3])]


def test_what_one_does_not_say_is_unknown_and_numbers_are_written_plainly() -> None:
    outcomes: dict[int, Outcome] = {
        0: rendered(threads=2),
        1: rendered(threads=2),
        2: rendered(a=1),
    }
    (group,) = odd_fingerprints(outcomes)
    assert group.differences == ("a 1 (the others: unknown), threads unknown (the others: 2)")


def test_cells_without_a_known_fingerprint_are_in_no_group() -> None:
    assert (
        odd_fingerprints({0: rendered(gpu="L4"), 1: rendered(), 2: Failed("black"), 3: None}) == []
    )


def test_after_z_marks_are_numbers() -> None:
    groups = odd_fingerprints({i: rendered(threads=i) for i in range(29)})
    assert [group.mark for group in groups][24:] == ["Y", "Z", "27", "28"]
