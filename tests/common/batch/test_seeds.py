"""Random seeds: hashes that anybody can compute again, and that more values do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import Matrix, numbered_seed
from common.batch.seeds import image_seed
from producer.language import load_batch_file


def seeds(text: str) -> dict[tuple[str, ...], int]:
    """Each cell's seed by its labels, in the order of the axes' names."""
    matrix = Matrix(load_batch_file(None, text=text, base_dir=Path()).batch)
    return {
        tuple(label for _, label in sorted(cell.labels.items())): cell.job.seed for cell in matrix
    }


@pytest.mark.parametrize(
    ("source", "number", "seed"),
    [
        # printf 7:0 | sha256sum | cut -c1-16, as a decimal number
        (7, 0, "17725994237439495539"),
        (7, 1, "15537646209016443107"),
        (0, 0, "12426054289685354689"),
    ],
)
def test_numbered_seeds_are_golden(source: int, number: int, seed: str) -> None:
    assert numbered_seed(source, number) == seed


def test_image_seeds_are_golden() -> None:
    """printf '{"from":"7","labels":{"prompt":"wolf","seed":"random 1"}}' | sha256sum"""
    labels = {"seed": "random 1", "prompt": "wolf"}
    assert image_seed("7", labels) == "1098372438770996431"


def test_more_seeds_keep_the_first() -> None:
    text = "prompts: [a]\nseeds: {random: %d, from: 7}"
    eight, sixteen = ([*seeds(text % count).values()] for count in (8, 16))
    assert sixteen[:8] == eight
    assert len({*sixteen}) == 16
    assert eight[0] == int(numbered_seed(7, 0))


def test_without_from_it_is_0() -> None:
    text = "prompts: [a]\nseeds: {random: 3%s}"
    assert seeds(text % "") == seeds(text % ", from: 0")
    assert seeds(text % "") != seeds(text % ", from: 1")


def test_random_and_written_seeds_stand_in_one_list() -> None:
    found = seeds("prompts: [a]\nseeds: [5, 8..9, {random: 1, from: 7}]")
    assert [*found.values()] == [5, 8, 9, int(numbered_seed(7, 0))]


PER_IMAGE = "seeds: {random: 2, from: 7, per: image}\n"


def test_per_image_each_cell_has_a_seed_of_its_own() -> None:
    found = seeds(f"prompts: {{w: a, c: b}}\nvariants: {{x: {{}}, y: {{steps: 3}}}}\n{PER_IMAGE}")
    assert len({*found.values()}) == 8
    labels = {"prompt": "w", "seed": "random 2", "variant": "y"}
    assert found["w", "random 2", "y"] == int(image_seed("7", labels))


def test_per_image_seeds_outlive_more_values_and_another_order() -> None:
    """Given axes in another order, more prompts, more seeds,
    then the cells that were there before keep their seeds."""
    before = seeds(f"prompts: {{w: a, c: b}}\nvariants: {{x: {{}}}}\n{PER_IMAGE}")
    more = PER_IMAGE.replace("2", "9")
    after = seeds(f"{more}variants: {{y: {{steps: 3}}, x: {{}}}}\nprompts: {{c: b, new: z, w: a}}")
    assert before.items() <= after.items()
    assert len(after) == 3 * 2 * 9


def test_an_excluded_cell_leaves_the_other_seeds_alone() -> None:
    text = f"prompts: {{w: a, c: b}}\n{PER_IMAGE}"
    kept = seeds(f"{text}exclude: [{{prompt: w, seed: random 1}}]")
    assert kept.items() < seeds(text).items()
    assert len(kept) == 3
