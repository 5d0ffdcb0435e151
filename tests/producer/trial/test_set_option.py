"""`--set`: one setting for every cell."""

from __future__ import annotations

import pytest

from common.batch import Cell, Matrix
from common.errors import UsageError
from producer.language import BatchFile
from producer.trial import with_settings
from tests.support.trials import cells, load


def said_by(file: BatchFile, *written: str) -> tuple[BatchFile, list[str]]:
    said: list[str] = []
    return with_settings(file, written, said.append), said


def test_it_goes_over_everything_that_the_file_says() -> None:
    changed, said = said_by(load(), "steps=3", "size=64x64")
    assert {cell.job.steps for cell in cells(changed.batch)} == {3}
    assert {cell.job.width for cell in cells(changed.batch)} == {64}
    assert said == ["--set steps=3 goes over what the axis prompt sets"]


def test_an_axis_of_the_setting_has_one_value_left() -> None:
    changed, said = said_by(load(), "guidance_scale=6")
    labels = {axis.name: [*axis.labels()] for axis in changed.batch.axes}
    assert labels["guidance_scale"] == ["6"]
    assert said == ["--set guidance_scale=6 goes over the axis guidance_scale"]
    assert Matrix(changed.batch).cells == Matrix(load().batch).lengths[0] * 2 * 4 * 3 * 2


def test_all_loras_go_over_an_axis_of_one() -> None:
    changed, said = said_by(load(), "loras={}")
    assert said == ["--set loras={} goes over the axis loras.style"]
    assert [*changed.batch.axes[4].labels()] == ["none"]
    assert not any(cell.job.loras for cell in cells(changed.batch))


def test_one_lora_alone_is_forgotten_with_all() -> None:
    text = "prompts: [a]\nlora_files: {x: me/x}\nsettings: {loras.x: 0.5}"
    changed, _ = said_by(load(text), "loras={}")
    assert "loras.x" not in changed.batch.settings


def test_a_condition_that_the_setting_ends_is_dropped() -> None:
    """guidance above 7 is excluded for one seed; at 6 nothing is."""
    changed, _ = said_by(load(), "guidance_scale=6")
    assert changed.batch.exclude == ()


def test_an_only_that_the_setting_ends_leaves_no_cell() -> None:
    text = "prompts: [a]\naxes: {steps: [1, 2]}\nonly: [{steps: 2}]"
    with pytest.raises(UsageError, match="no cell is left"):
        said_by(load(text), "steps=1")
    changed, _ = said_by(load(text), "steps=2")
    assert Matrix(changed.batch).cells == 1


def test_the_cells_are_those_of_a_file_that_says_so() -> None:
    changed, _ = said_by(load("prompts: [a]\nseeds: 1..3"), "steps=9", "refiner.steps=4")
    same = load("prompts: [a]\nseeds: 1..3\nsettings: {steps: 9, refiner: {steps: 4}}")
    assert changed.batch == same.batch


def _in_cell(cell: Cell, name: str) -> object:
    """What a setting, one LoRA or a word is in a cell, as a document has it."""
    group, _, inner = name.partition(".")
    if group == "words":
        return cell.settings.prompt.split()[-1]
    if group == "loras" and inner:
        return cell.settings.loras[inner]
    return str(cell.settings.seed) if name == "seed" else cell.settings[name]


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("negative_prompt=null", "negative_prompt", None),
        ("negative_prompt=", "negative_prompt", ""),
        ("negative_prompt='null'", "negative_prompt", "null"),
        ("prompt=a, b: c", "prompt", "a, b: c"),
        ("seed=5", "seed", "5"),
        ("animal=fox", "words.animal", "fox"),
        ("loras={style: 0.5}", "loras", {"style": 0.5}),
        ("loras.style=0.25", "loras.style", 0.25),
        ("scheduler={name: euler, timestep_spacing: trailing}", "scheduler",
         {"name": "euler", "timestep_spacing": "trailing"}),
    ],
)  # fmt: skip
def test_values(option: str, name: str, value: object) -> None:
    changed, _ = said_by(load(), option)
    assert changed.batch.settings[name] == value
    assert all(_in_cell(cell, name) == value for cell in cells(changed.batch))


@pytest.mark.parametrize(
    ("option", "message", "hint"),
    [
        ("steps", "is not NAME=VALUE", "--set steps=…"),
        ("stpes:3", "is not NAME=VALUE", "--set steps=3"),
        ("anmal fox", "is not NAME=VALUE", "--set animal=fox"),
        ("?", "is not NAME=VALUE", "--set steps=10"),
        ("steps=", "--set steps: must be", "write a value"),
        ("anmal=fox", "--set anmal: is not a setting", "'animal'"),
        ("seed=random", "--set seed: must be", "--set takes one value"),
        ("steps=ten", "--set steps: must be a whole number", ""),
        ("steps=10,20", "--set steps: must be", "--set takes one value"),
        ("steps=10..20", "--set steps: must be", "--set takes one value"),
        ("stepz=3", "--set stepz: is not a setting", "'steps'"),
        ("seeds=3", "seeds is an axis", "--set seed=…"),
        ("loras={x: 1}", "--set loras.x: is not in lora_files", "style"),
        ("prompt=a {anmal}", "has {anmal}", "{animal}"),
        ("loras={style: 1", "--set loras: must be a mapping", "{name: 1.0}"),
        ("loras={style: [}", "check", ""),
    ],
)
def test_mistakes_are_usage_errors(option: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        said_by(load(), option)
    assert message in caught.value.message + caught.value.hint
    assert hint in caught.value.hint


def test_an_axis_is_chosen_from_and_not_set() -> None:
    with pytest.raises(UsageError) as caught:
        said_by(load("prompts: [a]\nvariants: {base: {}, few: {steps: 3}}"), "variant=few")
    assert "--where variant=few" in caught.value.hint
