from __future__ import annotations

import pytest

from producer.language.axes import as_it_stands, left_alone

LAYERS = (
    {},
    {"steps": 30},
    {"steps": 30, "guidance_scale": 9},
    {"loras.style": 0.5},
    {"prompt": "a", "words.animal": "wolf", "seed": "1"},
)


@pytest.mark.parametrize(
    ("layer", "left"),
    [
        ({}, ["steps", "guidance_scale", "loras", "seed"]),
        ({"steps": 30}, ["guidance_scale"]),
        ({"steps": 20}, ["guidance_scale"]),
        ({"steps": 30, "guidance_scale": 9}, []),
        ({"size": "8x8"}, []),
        ({"prompt": "a"}, ["seed"]),
    ],
)
def test_a_value_leaves_alone_what_wider_ones_set(
    layer: dict[str, object], left: list[str]
) -> None:
    assert left_alone(layer, LAYERS) == left  # type: ignore[arg-type]


def test_an_entry_that_is_set_alone_is_of_its_collection() -> None:
    assert left_alone({"loras.a": 1}, [{"loras.a": 1, "loras.b": 1}]) == []


def test_none_is_told_only_where_it_is_a_value_of_its_own() -> None:
    assert as_it_stands("negative_prompt", None) == {"negative_prompt": None}
    assert as_it_stands("scheduler", None) == {"scheduler": "default"}
    assert as_it_stands("refiner.steps", None) == {}
    assert as_it_stands("loras", {}) == {"loras": {}}
