"""`--where`: some values of the axes, as a batch of their own."""

from __future__ import annotations

import pytest

from common.errors import UsageError
from producer.trial import only_where
from tests.support.trials import cells, contents, load


@pytest.mark.parametrize(
    ("option", "kept"),
    [
        ("animal=wolf", {"animal": ["wolf"]}),
        ("animal=CAT", {"animal": ["big cat"]}),
        ("prompt=note", {"prompt": ["note"]}),
        ("seed=3", {"seed": ["3"]}),
        ("seed=3,9", {"seed": ["3", "9"]}),
        ("seed>3", {"seed": ["6", "9"]}),
        ("seed!=3", {"seed": ["0", "6", "9"]}),
        ("guidance_scale=6..7", {"guidance_scale": ["6", "6.5", "7"]}),
        ("guidance_scale<=5.5", {"guidance_scale": ["5", "5.5"]}),
        ("guidance_scale>5 guidance_scale<6.5", {"guidance_scale": ["5.5", "6"]}),
        ("guidance_scale=5,6,7 guidance_scale>5.5", {"guidance_scale": ["6", "7"]}),
        ("negative_prompt=null", {"negative_prompt": ["none"]}),
        ("negative_prompt=ugly, blurry", {"negative_prompt": ["ugly"]}),
        ("loras.style=0.5", {"loras.style": ["0.5"]}),
        ("animals=wolf", {"animal": ["wolf"]}),
        ("seeds=3", {"seed": ["3"]}),
    ],
)
def test_values_as_a_person_names_them(option: str, kept: dict[str, list[str]]) -> None:
    options = option.split(" ") if option.count("guidance_scale") > 1 else [option]
    axes = {axis.name: [*axis.labels()] for axis in only_where(load().batch, options).axes}
    [(name, labels)] = kept.items()
    assert axes[name] == labels


def test_several_axes_narrow_and_one_axis_twice_widens() -> None:
    options = ["animal=wolf", "seed=3", "seed=9", "prompt=note"]
    batch = only_where(load().batch, options)
    wanted = [
        cell
        for cell in cells(load().batch)
        if cell.labels["animal"] == "wolf"
        and cell.labels["seed"] in ("3", "9")
        and cell.labels["prompt"] == "note"
    ]
    assert contents(cells(batch)) == contents(wanted)


def test_conditions_of_the_file_still_hold() -> None:
    batch = only_where(load().batch, ["seed=0,3", "guidance_scale=7,7.5"])
    kept = {(cell.labels["seed"], cell.labels["guidance_scale"]) for cell in cells(batch)}
    assert kept == {("0", "7"), ("3", "7"), ("3", "7.5")}


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["animal"], "is not AXIS=VALUE", "--where animal=wolf"),
        (["Big Cat"], "is not AXIS=VALUE", "--where 'animal=big cat'"),
        (["promt:note"], "is not AXIS=VALUE", "--where prompt=note"),
        (["?"], "is not AXIS=VALUE", "--where prompt=wolf"),
        (["steps=3"], "no axis 'steps'", "--set"),
        (["loras.style=0.4"], "no value of loras.style is 0.4", "nearest is 0.5"),
        (["animal>3"], "has none", "wolf, big cat"),
        (["anymal=wolf"], "no axis 'anymal'", "'animal'"),
        (["animal=wlof"], "no value of animal is 'wlof'", "'wolf'"),
        (["seed=1"], "no value of seed is 1", "0..9 by 3"),
        (["seed=0", "guidance_scale>7"], "no cell is left", "exclude"),
    ],
)
def test_what_is_not_there(options: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        only_where(load().batch, options)
    assert message in caught.value.message
    assert hint in caught.value.hint
