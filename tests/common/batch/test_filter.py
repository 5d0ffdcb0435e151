"""`exclude` and `only`: what matches, and that cells are asked and counted without listing them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.batch import Axis, Matrix, Value, spans_of
from common.batch.filter import Filter
from common.errors import GridfarmError
from producer.language import load_batch_file

AXES = (
    "prompts: {wolf: A wolf, cat: A cat}\n"
    "seeds: 0..9\n"
    "axes:\n"
    "  guidance_scale: 5..13 by 0.5\n"
    "  steps: [8, 20, 30]\n"
    "  scheduler: {fast: lcm, usual: euler}\n"
)


def kept(condition: str, name: str, text: str = AXES) -> list[str]:
    """What `only` with this one condition leaves of an axis."""
    batch = load_batch_file(None, text=f"{text}only: [{condition}]", base_dir=Path()).batch
    axis = next(axis for axis in batch.axes if axis.name == name)
    spans = spans_of(axis, batch.only[0][name])
    return [axis.value(position).label for position in spans]


@pytest.mark.parametrize(
    ("condition", "axis", "expected"),
    [
        ("{guidance_scale: '> 12'}", "guidance_scale", "12.5 13"),
        ("{guidance_scale: '>=12.5'}", "guidance_scale", "12.5 13"),
        ("{guidance_scale: '< 5.50'}", "guidance_scale", "5"),
        ("{guidance_scale: '<= 5.5'}", "guidance_scale", "5 5.5"),
        ("{guidance_scale: '> 12.3'}", "guidance_scale", "12.5 13"),
        ("{guidance_scale: 5.7..6.6}", "guidance_scale", "6 6.5"),
        ("{guidance_scale: [5, '> 12.9', 7..7.5]}", "guidance_scale", "5 7 7.5 13"),
        ("{guidance_scale: 7.50}", "guidance_scale", "7.5"),
        ("{seed: '> 7'}", "seed", "8 9"),
        ("{seed: '!0..7'}", "seed", "8 9"),
        ("{seed: '!= 4'}", "seed", "0 1 2 3 5 6 7 8 9"),
        ("{seed: '== 4'}", "seed", "4"),
        ("{seed: '= 4'}", "seed", "4"),
        ("{seed: ['!3', 3]}", "seed", "0 1 2 3 4 5 6 7 8 9"),
        ("{steps: '> 8'}", "steps", "20 30"),
        ("{steps: '>= 8.5'}", "steps", "20 30"),
        ("{steps: 8..20}", "steps", "8 20"),
        ("{steps: '!20'}", "steps", "8 30"),
        ("{prompt: '!wolf'}", "prompt", "cat"),
        ("{prompt: '!A wolf'}", "prompt", "cat"),
        ("{scheduler: LCM}", "scheduler", ""),
        ("{scheduler: lcm}", "scheduler", "fast"),
        ("{scheduler: '!lcm'}", "scheduler", "usual"),
    ],
)
def test_what_a_condition_matches(condition: str, axis: str, expected: str) -> None:
    if not expected:
        with pytest.raises(GridfarmError, match="no value of scheduler is 'LCM'"):
            kept(condition, axis)
    else:
        assert kept(condition, axis) == expected.split()


def test_a_label_that_looks_like_a_comparison_is_a_label_first() -> None:
    text = "prompts: [a]\nvariants: {'> 9': {steps: 3}, '!x': {steps: 4}, x: {steps: 5}}\n"
    assert kept("{variant: '> 9'}", "variant", text) == ["> 9"]
    assert kept("{variant: '!x'}", "variant", text) == ["!x"]
    assert kept("{variant: '!!x'}", "variant", text) == ["> 9", "x"]


def test_words_match_by_their_text() -> None:
    text = "words: {animal: {w: wolf, c: cat}}\nprompts: ['{animal}']\n"
    assert kept("{animal: cat}", "animal", text) == ["c"]


def test_a_value_matches_the_bundles_that_set_it() -> None:
    text = "prompts: [a]\naxes: {steps: {x: {steps: 3, seed: 1}, y: 3, z: {}}}\n"
    assert kept("{steps: 3}", "steps", text) == ["x", "y"]
    assert kept("{steps: '> 2'}", "steps", text) == ["x", "y"]


def test_comparisons_read_random_and_listed_seeds() -> None:
    text = "prompts: [a]\nseeds: [1, 5, 18446744073709551615]\n"
    assert kept("{seed: '> 18446744073709551614'}", "seed", text) == [str(2**64 - 1)]


def test_a_condition_on_no_axis_of_the_batch_is_refused() -> None:
    with pytest.raises(GridfarmError, match="'nothing'"):
        Filter([{"nothing": ("1",)}], [], [_two("x")])


def test_29_axes_of_two_values_are_counted_at_once() -> None:
    """Half a billion cells: without a x0 and a x28 together, three quarters of them."""
    axes = [_two(f"x{n}") for n in range(29)]
    pair = {"x0": ("a",), "x28": ("a",)}
    assert Filter([pair], [], axes).count() == 2**29 * 3 // 4
    assert Filter([], [pair], axes).count() == 2**29 // 4
    chain = [{f"x{n}": ("a",), f"x{n + 1}": ("a",)} for n in range(28)]
    assert Filter(chain, [], axes).count() == 1_346_269  # Fibonacci: no two neighbours


def test_a_comparison_on_a_million_values_is_kept_as_a_range() -> None:
    text = "prompts: [a]\nseeds: 0..999999\nexclude: [{seed: '> 9'}]"
    batch = load_batch_file(None, text=text, base_dir=Path()).batch
    assert batch.exclude == ({"seed": ("10..999999",)},)
    assert Matrix(batch).cells == 10


def test_what_few_cells_are_kept_of_a_billion_is_found_at_once() -> None:
    text = "prompts: [a]\nseeds: 0..499999999\nvariants: {x: {}, y: {steps: 3}}\n"
    only = "only: [{seed: '> 499999997', variant: y}, {seed: 7}]"
    matrix = Matrix(load_batch_file(None, text=text + only, base_dir=Path()).batch)
    assert [cell.i for cell in matrix] == [14, 15, 999_999_997, 999_999_999]


def test_dead_ends_are_not_walked() -> None:
    """Given that every seed but the last is excluded under one variant or the other,
    then the walk goes straight to the last."""
    text = "prompts: [a]\nseeds: 0..499999999\nvariants: {x: {}, y: {steps: 3}}\n"
    both = "exclude: [{seed: '< 499999999', variant: x}, {seed: '< 499999998', variant: y}]"
    matrix = Matrix(load_batch_file(None, text=text + both, base_dir=Path()).batch)
    assert [cell.i for cell in matrix] == [999_999_997, 999_999_998, 999_999_999]


def _two(name: str) -> Axis:
    return Axis(name=name, values=tuple(Value(label=label, settings={}) for label in "ab"))


# -- the naive product --------------------------------------------------------------------------

numbers = st.integers(0, 40).map(lambda n: f"{n / 4:g}")
wanted = st.one_of(
    st.tuples(st.sampled_from([">", ">=", "<", "<=", "!", "="]), numbers).map(" ".join),
    st.tuples(numbers, numbers).map(lambda ends: "..".join(sorted(ends, key=float))),
    numbers,
)
entry = st.fixed_dictionaries(
    {},
    optional={
        "guidance_scale": st.lists(wanted, min_size=1, max_size=2),
        "refiner.guidance_scale": wanted,
        "variant": st.sampled_from(["a", "b", "!a", ["a", "b"]]),
    },
).filter(bool)


@settings(max_examples=150, deadline=None)
@given(
    ends=st.tuples(st.integers(0, 30), st.integers(0, 12), st.sampled_from([1, 2, 5])),
    values=st.lists(numbers, min_size=1, max_size=4, unique=True),
    exclude=st.lists(entry, max_size=3),
    only=st.lists(entry, max_size=2),
)
def test_a_file_is_the_naive_product_less_what_its_conditions_leave_out(
    ends: tuple[int, int, int], values: list[str], exclude: Any, only: Any
) -> None:
    """Ranges with decimal steps against lists, comparisons against arithmetic in the test."""
    first, count, step = ends
    guidance = [Fraction(first + n * step, 4) for n in range(count + 1)]
    refined = [Fraction(value) for value in values]
    text = (
        f"prompts: [p]\nvariants: {{a: {{}}, b: {{steps: 3}}}}\naxes:\n"
        f"  guidance_scale: {first / 4:.2f}..{(first + count * step) / 4:.2f} by {step / 4:.2f}\n"
        f"  refiner.guidance_scale: [{', '.join(values)}]\n"
        f"exclude: {exclude}\nonly: {only}\n"
    )
    product = [*itertools.product("ab", guidance, refined)]
    left = [
        not any(_matches(cell, e) for e in exclude)
        and (not only or any(_matches(cell, e) for e in only))
        for cell in product
    ]
    matched = all(_reaches(product, e) for e in [*exclude, *only])
    try:
        matrix = Matrix(load_batch_file(None, text=text, base_dir=Path()).batch)
    except GridfarmError as error:
        assert not matched or not any(left), error.message
        return
    assert matched and any(left)
    assert [matrix[i] is not None for i in range(len(matrix))] == left
    assert [cell.i for cell in matrix] == [i for i, keep in enumerate(left) if keep]
    assert matrix.cells == sum(left)
    for cell in matrix:
        _, scale, refiners = product[cell.i]
        assert cell.job.guidance_scale == scale
        assert cell.settings["refiner.guidance_scale"] == refiners


def _matches(cell: tuple[str, Fraction, Fraction], entry: dict[str, Any]) -> bool:
    return all(any(matches) for matches in _each(cell, entry))


def _each(cell: tuple[str, Fraction, Fraction], entry: dict[str, Any]) -> Iterator[list[bool]]:
    named = dict(zip(("variant", "guidance_scale", "refiner.guidance_scale"), cell, strict=True))
    for name, wanted in entry.items():
        yield [_is(named[name], one) for one in ([wanted] if isinstance(wanted, str) else wanted)]


def _reaches(product: list[Any], entry: dict[str, Any]) -> bool:
    """Whether every value of the entry is one of some cell: what matches nothing is a mistake."""
    per_cell = [[*itertools.chain(*_each(cell, entry))] for cell in product]
    return all(map(any, zip(*per_cell, strict=True))) and not _denies_an_absent(product, entry)


def _denies_an_absent(product: list[Any], entry: dict[str, Any]) -> bool:
    plain = {
        name: [one.removeprefix("! ") for one in ([w] if isinstance(w, str) else w) if "! " in one]
        for name, w in entry.items()
    }
    absent = {name: denied for name, denied in plain.items() if denied}
    return bool(absent) and not _reaches(product, absent)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return value != wanted[1:] if wanted[0] == "!" else value == wanted
    sign, _, number = wanted.rpartition(" ")
    if sign:
        n = Fraction(number)
        return {
            ">": value > n, ">=": value >= n, "<": value < n, "<=": value <= n,
            "!": value != n, "=": value == n,
        }[sign]  # fmt: skip
    low, _, high = wanted.partition("..")
    return Fraction(low) <= value <= Fraction(high or low)
