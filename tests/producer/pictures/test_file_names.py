from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.batch import Axis, Batch, Matrix, RangeAxis
from producer.language.settings import DEFAULTS
from producer.pictures import distinct_names
from producer.pictures.file_names import LIMIT, cell_paths, safe_name

SETTINGS = DEFAULTS | {"model": "tiny", "prompt": "a wolf", "seed": "7", "size": "64x64"}


def axis(name: str, values: dict[str, dict[str, object]]) -> Axis:
    return Axis.model_validate(
        {"name": name, "values": [{"label": k, "settings": v} for k, v in values.items()]}
    )


def paths(*axes: Axis | RangeAxis) -> list[str]:
    batch = Batch(name="b", settings=SETTINGS, axes=axes, models={"tiny": "tiny@3"})
    matrix = Matrix(batch)
    return [str(path) for _, path in cell_paths(matrix, matrix)]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("wolf", "wolf"),
        ("A wolf, in (snow)++", "A-wolf-in-snow"),
        ("wrong_lora-0.5", "wrong_lora-0.5"),
        ("-1.5", "-1.5"),
        ("--help", "help"),
        ("../x", "x"),
        ("..", "unnamed"),
        ("a/b\\c", "a-b-c"),
        (".hidden", "hidden"),
        ("ends with a dot.", "ends-with-a-dot"),
        ("nul\0and\x1b[31mcolour\n", "nul-and-31mcolour"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("lpt1", "_lpt1"),
        ("console", "console"),
        ("狼 волк café", "狼-волк-café"),
        ("🐺", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_a_label_becomes_a_readable_name(label: str, name: str) -> None:
    assert safe_name(label) == name


def test_a_long_name_is_cut_between_characters() -> None:
    assert safe_name("é" * 200) == "é" * (LIMIT // 2)
    assert safe_name("a" + "é" * 200) == "a" + "é" * (LIMIT // 2 - 1)


def test_decomposed_letters_give_the_same_name_as_composed_ones() -> None:
    assert safe_name("cafe\u0301") == safe_name("caf\u00e9")


@given(st.text(max_size=300))
def test_any_name_is_one_visible_entry_of_its_folder(label: str) -> None:
    name = safe_name(label)
    assert PurePosixPath(name).parts == (name,)
    assert 0 < len(name.encode()) <= LIMIT
    assert not name.startswith(".") and not name.endswith((".", " "))
    assert not set(name) & set('/\\:*?"<>|') and name.isprintable()


@given(st.lists(st.text(alphabet="aAbB/.- é1", max_size=100), unique=True, max_size=30))
def test_names_of_one_folder_differ_on_any_file_system(labels: list[str]) -> None:
    names = distinct_names(labels)
    assert list(names) == labels
    assert len({name.casefold() for name in names.values()}) == len(labels)
    assert all(len(name.encode()) <= LIMIT for name in names.values())


def test_the_first_of_colliding_labels_keeps_its_name() -> None:
    assert distinct_names(["Wolf", "wolf", "wolf!", "wolf-2"]) == {
        "Wolf": "Wolf",
        "wolf": "wolf-2",
        "wolf!": "wolf-3",
        "wolf-2": "wolf-2-2",
    }


def test_paths_are_prompt_seed_variant() -> None:
    found = paths(
        axis("prompt", {"wolf": {"prompt": "a wolf", "seed": "84061037"}}),
        axis("variant", {"base": {}, "wrong": {"negative_prompt": "wrong"}}),
    )
    assert found == ["wolf/s84061037/base.png", "wolf/s84061037/wrong.png"]


def test_further_axes_are_further_folders() -> None:
    found = paths(
        axis("prompt", {"wolf": {"prompt": "a wolf"}}),
        RangeAxis(name="seed", first="3", last="3"),
        axis("steps", {"10": {"steps": 10}}),
        axis("size", {"64x64": {"size": "64x64"}}),
        axis("variant", {"base": {}}),
    )
    assert found == ["wolf/s3/10/64x64/base.png"]


def test_without_a_variant_the_last_axis_names_the_file() -> None:
    found = paths(axis("steps", {"10": {"steps": 10}}), axis("size", {"64x64": {}}))
    assert found == ["prompt/s7/10/64x64.png"]


def test_without_any_axis_the_file_is_image() -> None:
    assert paths() == ["prompt/s7/image.png"]


def test_two_names_for_one_seed_are_two_folders() -> None:
    found = paths(axis("seed", {"lucky": {"seed": "7"}, "also": {"seed": "7"}, "7": {"seed": "7"}}))
    assert found == ["prompt/s7-lucky/image.png", "prompt/s7-also/image.png", "prompt/s7/image.png"]


def test_unnamed_prompts_that_begin_alike_have_different_folders() -> None:
    texts = [f"{'a wolf ' * 30}{end}" for end in ("howling", "asleep")]
    found = paths(axis("prompt", {text: {"prompt": text} for text in texts}))
    assert len({path.split("/")[0] for path in found}) == 2


def test_images_with_a_seed_of_their_own_share_a_folder() -> None:
    """`{random: 1, per: image}` draws every cell with another seed; one folder holds them."""
    seeds = axis("seed", {"random 1": {"seed": {"from": "7"}}, "lucky": {"seed": "7"}})
    assert paths(seeds, axis("steps", {"3": {"steps": 3}, "4": {"steps": 4}})) == [
        "prompt/random-1/3.png",
        "prompt/random-1/4.png",
        "prompt/s7-lucky/3.png",
        "prompt/s7-lucky/4.png",
    ]
