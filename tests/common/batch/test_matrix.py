"""The matrix: lazy, indexable, and equal pictures have equal keys."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.batch import Axis, Batch, Matrix, RangeAxis, Value
from common.errors import GridfarmError
from common.job import BUILTIN_MODELS, TINY_REFINER
from producer.language.settings import DEFAULTS

SETTINGS: dict[str, Any] = DEFAULTS | {"model": "tiny", "prompt": "a wolf"}
LORAS: dict[str, str | None] = {name: name * 64 for name in "abcd"}


def axis(name: str, **values: dict[str, Any]) -> Axis:
    return Axis(name=name, values=tuple(Value(label=k, settings=v) for k, v in values.items()))


def matrix(*axes: Axis | RangeAxis, exclude: Any = (), only: Any = (), **over: Any) -> Matrix:
    batch = Batch(
        name="test",
        settings=SETTINGS | over,
        axes=axes,
        exclude=exclude,
        only=only,
        models=dict(BUILTIN_MODELS),
        loras=LORAS,
    )
    return Matrix(batch)


def lora_sweep() -> Matrix:
    """4 LoRAs × 13 values of lora_scale from −1 to 2 × 24 seeds."""
    names = {name: {"loras": {name: 1.0}} for name in "abcd"}
    scales = {str(n): {"lora_scale": n / 4} for n in range(-4, 9)}
    seeds = RangeAxis(name="seed", first="0", last="23")
    return matrix(axis("loras", **names), axis("lora_scale", **scales), seeds)


def test_strength_zero_coincides() -> None:
    """1,248 cells and 1,176 jobs: at strength 0 the four LoRAs draw the same 24 pictures."""
    sweep = lora_sweep()
    assert (len(sweep), sweep.cells, sweep.jobs) == (1248, 1248, 1176)


def test_equal_cells_are_holes_of_the_first() -> None:
    distinct = matrix(axis("variant", one={}, two={"guidance_scale": 5.0})).distinct
    assert distinct is not None
    assert (distinct.cells, list(distinct.jobs.values()), distinct.holes) == (2, [0], {1})


def test_a_million_cells_cost_no_memory() -> None:
    tracemalloc.start()
    big = matrix(*(RangeAxis(name=n, first="0", last="99") for n in ("seed", "steps")),
                 RangeAxis(name="guidance", first="0", last="99"))  # fmt: skip
    assert len(big) == big.cells == big.jobs == 1_000_000
    assert big.labels(999_999) == {"seed": "99", "steps": "99", "guidance": "99"}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_past_the_end_is_an_index_error() -> None:
    one = matrix()
    assert len(one) == 1
    assert one[0] is not None
    with pytest.raises(IndexError):
        one[1]
    with pytest.raises(IndexError):
        one[-1]


def test_a_variant_overrides_a_prompts_bundle() -> None:
    """settings < prompt's bundle < variant's bundle, whatever the order of the axes."""
    prompts = axis("prompt", wolf={"prompt": "a wolf", "steps": 20, "guidance_scale": 7.0})
    variants = axis("variant", fast={"steps": 8})
    for axes in ((prompts, variants), (variants, prompts)):
        cell = matrix(*axes, steps=99)[0]
        assert cell is not None
        assert (cell.job.steps, cell.job.guidance_scale) == (8, 7.0)


def test_range_axes_give_numbers() -> None:
    cell = matrix(RangeAxis(name="steps", first="10", last="50", step="20"))[2]
    assert cell is not None
    assert cell.job.steps == 50


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"loras": {"a": 0}}, {}),
        ({"loras": {"a": 1.0}, "lora_scale": 0.0}, {}),
        ({"loras": {"a": -0.0}}, {}),
        ({"loras": {"a": {"unet": 0.5, "text_encoder": 0.5}}}, {"loras": {"a": 0.5}}),
        ({"loras": {"a": 0.7}, "lora_scale": 0.1}, {"loras": {"a": 0.07}}),
        ({"loras": {"a": 1, "b": 1}}, {"loras": {"b": 1, "a": 1}}),
        ({"refiner.aesthetic_score": 2.0}, {}),
        ({"vae": "own"}, {}),
        ({"dtype": "fp32"}, {}),
        ({"scheduler": "DPM++ 2M Karras"}, {"scheduler": "dpm++ 2m karras"}),
        ({"guidance_scale": 1.0, "negative_prompt": "x"}, {"guidance_scale": 1.0}),
        (
            {"high_noise_frac": 0.8, "refiner.aesthetic_score": 6.0},
            {"high_noise_frac": 0.8, "refiner.model": "tiny-refiner"},
        ),
    ],
    ids=str,
)
def test_what_draws_the_same_has_the_same_key(one: Any, other: Any) -> None:
    first, second = matrix(**one)[0], matrix(**other)[0]
    assert first and second
    assert first.key == second.key


@pytest.mark.parametrize(
    "change",
    [
        {"negative_prompt": ""},
        {"seed": "1"},
        {"noise": "cuda"},
        {"loras": {"a": 1.0}},
        {"loras": {"a": {"unet": 1.0, "text_encoder": 0.0}}},
        {"high_noise_frac": 0.8},
        {"scheduler": "euler"},
        {"long_prompts": "chunk"},
        {"dtype": "fp16"},
        {"size": "1024x1032"},
    ],
    ids=str,
)
def test_what_draws_another_picture_has_another_key(change: Any) -> None:
    plain, changed = matrix()[0], matrix(**change)[0]
    assert plain and changed
    assert plain.key != changed.key


def test_defaults_follow_the_model() -> None:
    """fp16, its VAE and 1024² pixels for SDXL; fp32, its own and 128² for the tiny one; the
    refiner likewise."""
    models = axis("model", sdxl={"model": "sdxl"}, tiny={"model": "tiny"})
    sdxl, tiny = matrix(models, high_noise_frac=0.8)
    assert (sdxl.job.dtype, sdxl.job.vae) == ("fp16", BUILTIN_MODELS["fp16-fix"])
    assert (tiny.job.dtype, tiny.job.vae) == ("fp32", None)
    assert (sdxl.job.width, sdxl.job.height) == (1024, 1024)
    assert (tiny.job.width, tiny.job.height) == (128, 128)
    assert sdxl.job.refiner and tiny.job.refiner
    assert sdxl.job.refiner.model == BUILTIN_MODELS["sdxl-refiner"]
    assert tiny.job.refiner.model == TINY_REFINER


def test_one_file_twice_in_a_cell_is_refused() -> None:
    batch = matrix(loras={"a": 1.0, "b": 1.0}).batch
    twins = batch.model_copy(update={"loras": {"a": "f" * 64, "b": "f" * 64}})
    with pytest.raises(GridfarmError, match="same file"):
        Matrix(twins)[0]


def test_models_and_loras_change_slowest() -> None:
    """The order of rendering switches model twice, though it is the fastest axis."""
    m = matrix(
        RangeAxis(name="seed", first="0", last="2"),
        axis("loras", off={}, on={"loras": {"a": 1.0}}),
        axis("model", tiny={"model": "tiny"}, sdxl={"model": "sdxl"}),
    )
    numbers = [in_order(m.order, p) for p in range(len(m))]
    assert sorted(numbers) == list(range(12))
    models = [m.labels(i)["model"] for i in numbers]
    loras = [m.labels(i)["loras"] for i in numbers]
    assert sum(a != b for a, b in itertools.pairwise(models)) == 1
    assert sum(a != b for a, b in itertools.pairwise(loras)) == 3


def test_one_loras_strength_changes_as_slowly_as_all_loras() -> None:
    seeds = RangeAxis(name="seed", first="0", last="2")
    strengths = RangeAxis(name="loras.a", first="0", last="1", step="0.5")
    refiners = axis("refiner.model", own={"refiner.model": "tiny-refiner"})
    m = matrix(seeds, strengths, refiners)
    assert m.order == [(1, 1), (3, 1), (3, 3)]


def in_order(order: list[tuple[int, int]], position: int) -> int:
    i = 0
    for length, stride in reversed(order):
        i += position % length * stride
        position //= length
    return i


labels = st.sampled_from("abcdef")
conditions = st.lists(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.lists(labels, min_size=1).map(tuple),
                    min_size=1),
    max_size=3,
).map(tuple)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.tuples(*[st.integers(1, 5)] * 3),
    exclude=conditions,
    only=conditions,
)
def test_cells_equal_the_naive_product(lengths: tuple[int, ...], exclude: Any, only: Any) -> None:
    """m[i] is the i-th of itertools.product with the excluded ones as holes, and the count
    that enumerates nothing is the count of the rest."""
    axes = [
        axis(name, **{label: {} for label in "abcde"[:length]})
        for name, length in zip("xyz", lengths, strict=True)
    ]
    m = matrix(*axes, exclude=exclude, only=only)
    naive = [
        dict(zip("xyz", combination, strict=True))
        for combination in itertools.product(*("abcde"[:length] for length in lengths))
    ]

    def matches(cell: dict[str, str], condition: dict[str, tuple[str, ...]]) -> bool:
        return all(cell[name] in allowed for name, allowed in condition.items())

    kept = [
        not any(matches(cell, c) for c in exclude)
        and (not only or any(matches(cell, c) for c in only))
        for cell in naive
    ]
    assert [m.labels(i) for i in range(len(m))] == naive
    assert [m[i] is not None for i in range(len(m))] == kept
    assert [cell.i for cell in m] == [i for i, keep in enumerate(kept) if keep]
    assert m.cells == sum(kept)
