"""`--limit`: the first cells, as a batch of their own whose pictures are the whole batch's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.batch import Axis, Batch, Matrix, RangeAxis, Value
from common.job import BUILTIN_MODELS
from producer.language.settings import DEFAULTS
from producer.trial import limited, only_where
from tests.support.trials import cells, contents, load


@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    exclude=st.lists(st.dictionaries(st.sampled_from("wxyz"), st.sampled_from("0123"),
                                     min_size=1), max_size=3),
    only=st.lists(st.dictionaries(st.sampled_from("wxyz"), st.sampled_from("0123"),
                                  min_size=1), max_size=2),
    count=st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_it_keeps_the_first_cells(lengths: list[int], exclude: Any, only: Any, count: int) -> None:
    names = "wxyz"[: len(lengths)]
    axes: list[Axis | RangeAxis] = [
        _marked(n, size) for n, size in zip(names, lengths, strict=True)
    ]
    axes[-1] = RangeAxis(name="seed", first="0", last=str(lengths[-1] - 1))
    known = [axis.name for axis in axes]
    batch = Batch(
        name="test", settings=dict(DEFAULTS) | {"model": "tiny", "prompt": "a"},
        axes=tuple(axes), exclude=_entries(exclude, known), only=_entries(only, known),
        models=dict(BUILTIN_MODELS),
    )  # fmt: skip
    if Matrix(batch).cells == 0:
        return
    cut = limited(batch, count)
    assert contents(cells(cut)) == contents(cells(batch)[:count])
    assert Matrix(cut).cells == min(count, Matrix(batch).cells)


@pytest.mark.parametrize(
    ("exclude", "only"),
    [
        ([], []),
        ([{"w": "0", "x": "1"}], []),
        ([], [{"x": "1"}]),
        ([], [{"w": "1", "seed": "2"}, {"x": "0"}]),
        ([{"seed": "0"}], [{"w": "2"}, {"x": "1", "seed": "1"}]),
    ],
)
def test_conditions_hold_in_every_limit(exclude: Any, only: Any) -> None:
    axes = (_marked("w", 3), _marked("x", 2), RangeAxis(name="seed", first="0", last="2"))
    names = ["w", "x", "seed"]
    batch = Batch(
        name="test", settings=dict(DEFAULTS) | {"model": "tiny", "prompt": "a"}, axes=axes,
        exclude=_entries(exclude, names), only=_entries(only, names),
        models=dict(BUILTIN_MODELS),
    )  # fmt: skip
    whole = contents(cells(batch))
    for count in range(1, len(whole) + 2):
        assert contents(cells(limited(batch, count))) == whole[:count]


def test_holes_are_passed_over() -> None:
    """The first kept cell stands behind half a billion excluded ones."""
    text = "prompts: ['a', 'b']\nseeds: 0..499999999\nexclude: [{prompt: a}]"
    assert [*cells(limited(load(text).batch, 2))[0].labels.values()] == ["b", "0"]


def test_a_few_cells_of_a_billion_are_a_small_batch() -> None:
    big = load("prompts: ['a', 'b']\nseeds: 0..99999999\nvariants: {x: {}, y: {steps: 3}}").batch
    cut = limited(big, 5)
    assert len(Matrix(cut)) == 6
    assert Matrix(cut).jobs == 5


def test_trials_share_pictures_with_the_whole_batch() -> None:
    """--where and --limit keep keys; a trial's id is its own, and the same each time."""
    whole = load().batch
    keys = {cell.key for cell in cells(whole)}
    trial = limited(only_where(whole, ["animal=wolf"]), 4)
    assert {cell.key for cell in cells(trial)} < keys
    assert trial.id != whole.id
    assert trial.id == limited(only_where(load().batch, ["animal=wolf"]), 4).id
    assert len(list(itertools.islice(Matrix(trial), 5))) == 4


def _marked(name: str, size: int) -> Axis:
    values = (Value(label=str(n), settings={"prompt_2": f"{name}{n}"}) for n in range(size))
    return Axis(name=name, values=tuple(values))


def _entries(written: Any, known: list[str]) -> Any:
    entries = ({n: (label,) for n, label in entry.items() if n in known} for entry in written)
    return tuple(entry for entry in entries if entry)
