"""`--set`, `--where`, `--limit`, `--model`, `--prompt`: a batch changed for a trial.

A trial is a batch of its own whose cells are the whole batch's cells, so their pictures are
shared by key.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from common.assets import check_lora_file
from common.batch import Axis, Batch, Cell, Matrix, RangeAxis, Value
from common.errors import UsageError
from common.job import BUILTIN_MODELS, Crop, Size
from producer.cli.main import cli
from producer.language import BatchFile, load_batch_file
from producer.language.settings.catalogue import DEFAULTS
from producer.lint import equal_cells, surprises
from producer.trial import find_values, limited, only_where, parse_where, with_model, with_settings

TEXT = """
model: tiny
lora_files: {style: me/style}
words: {animal: [wolf, big cat]}
prompts: {portrait: "a portrait of a {animal}", note: {prompt: "a note on a {animal}", steps: 7}}
seeds: 0..9 by 3
axes:
  guidance_scale: 5..8 by 0.5
  loras.style: [0, 0.5, {unet: 1, text_encoder: 0}]
  negative_prompt: {none: null, ugly: "ugly, blurry"}
exclude: [{guidance_scale: "> 7", seed: 0}]
"""


def load(text: str = TEXT) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=Path("/nowhere"))


def cells(batch: Batch) -> list[Cell]:
    return [*Matrix(batch)]


def _in_cell(cell: Cell, name: str) -> object:
    """What a setting, one LoRA or a word is in a cell, as a document has it."""
    group, _, inner = name.partition(".")
    if group == "words":
        return cell.settings.prompt.split()[-1]
    if group == "loras" and inner:
        return cell.settings.loras[inner]
    return str(cell.settings.seed) if name == "seed" else cell.settings[name]


def contents(found: list[Cell]) -> list[tuple[dict[str, str], str]]:
    """What must stay the same in a trial: labels and keys; only numbers may change."""
    return [(cell.labels, cell.key) for cell in found]


class TestLimit:
    @given(
        lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
        exclude=st.lists(st.dictionaries(st.sampled_from("wxyz"), st.sampled_from("0123"),
                                         min_size=1), max_size=3),
        only=st.lists(st.dictionaries(st.sampled_from("wxyz"), st.sampled_from("0123"),
                                      min_size=1), max_size=2),
        count=st.integers(1, 40),
    )  # fmt: skip
    @settings(max_examples=150, deadline=None)
    def test_it_keeps_the_first_cells(
        self, lengths: list[int], exclude: Any, only: Any, count: int
    ) -> None:
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
    def test_conditions_hold_in_every_limit(self, exclude: Any, only: Any) -> None:
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

    def test_holes_are_passed_over(self) -> None:
        """The first kept cell stands behind half a billion excluded ones."""
        text = "prompts: ['a', 'b']\nseeds: 0..499999999\nexclude: [{prompt: a}]"
        assert [*cells(limited(load(text).batch, 2))[0].labels.values()] == ["b", "0"]

    def test_a_few_cells_of_a_billion_are_a_small_batch(self) -> None:
        big = load(
            "prompts: ['a', 'b']\nseeds: 0..99999999\nvariants: {x: {}, y: {steps: 3}}"
        ).batch
        cut = limited(big, 5)
        assert len(Matrix(cut)) == 6
        assert Matrix(cut).jobs == 5


def _marked(name: str, size: int) -> Axis:
    values = (Value(label=str(n), settings={"prompt_2": f"{name}{n}"}) for n in range(size))
    return Axis(name=name, values=tuple(values))


def _entries(written: Any, known: list[str]) -> Any:
    entries = ({n: (label,) for n, label in entry.items() if n in known} for entry in written)
    return tuple(entry for entry in entries if entry)


class TestWhere:
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
        ],
    )
    def test_values_as_a_person_names_them(self, option: str, kept: dict[str, list[str]]) -> None:
        options = option.split(" ") if option.count("guidance_scale") > 1 else [option]
        axes = {axis.name: [*axis.labels()] for axis in only_where(load().batch, options).axes}
        [(name, labels)] = kept.items()
        assert axes[name] == labels

    def test_several_axes_narrow_and_one_axis_twice_widens(self) -> None:
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

    def test_conditions_of_the_file_still_hold(self) -> None:
        batch = only_where(load().batch, ["seed=0,3", "guidance_scale=7,7.5"])
        kept = {(cell.labels["seed"], cell.labels["guidance_scale"]) for cell in cells(batch)}
        assert kept == {("0", "7"), ("3", "7"), ("3", "7.5")}

    @pytest.mark.parametrize(
        ("options", "message", "hint"),
        [
            (["animal"], "is not AXIS=VALUE", "--where prompt=wolf"),
            (["animals=wolf"], "no axis 'animals'", "'animal'"),
            (["animal=wlof"], "no value of animal is 'wlof'", "'wolf'"),
            (["seed=1"], "no value of seed is 1", "0..9 by 3"),
            (["seed=0", "guidance_scale>7"], "no cell is left", "exclude"),
        ],
    )
    def test_what_is_not_there(self, options: list[str], message: str, hint: str) -> None:
        with pytest.raises(UsageError) as caught:
            only_where(load().batch, options)
        assert message in caught.value.message
        assert hint in caught.value.hint

    def test_an_equals_sign_in_the_value(self) -> None:
        assert parse_where(["prompt=a=b", "x >= 3"]) == {"prompt": ["a=b"], "x": [">=3"]}

    def test_a_million_seeds_are_not_listed(self) -> None:
        axis = RangeAxis(name="seed", first="0", last="999999999")
        spans = find_values(axis, ["> 9"], load().batch)
        assert [*spans.ranges] == [range(10, 10**9)]


def said_by(file: BatchFile, *written: str) -> tuple[BatchFile, list[str]]:
    said: list[str] = []
    return with_settings(file, written, said.append), said


class TestSet:
    def test_it_goes_over_everything_that_the_file_says(self) -> None:
        changed, said = said_by(load(), "steps=3", "size=64x64")
        assert {cell.job.steps for cell in cells(changed.batch)} == {3}
        assert {cell.job.width for cell in cells(changed.batch)} == {64}
        assert said == ["--set steps=3 goes over what the axis prompt sets"]

    def test_an_axis_of_the_setting_has_one_value_left(self) -> None:
        changed, said = said_by(load(), "guidance_scale=6")
        labels = {axis.name: [*axis.labels()] for axis in changed.batch.axes}
        assert labels["guidance_scale"] == ["6"]
        assert said == ["--set guidance_scale=6 goes over the axis guidance_scale"]
        assert Matrix(changed.batch).cells == Matrix(load().batch).lengths[0] * 2 * 4 * 3 * 2

    def test_all_loras_go_over_an_axis_of_one(self) -> None:
        changed, said = said_by(load(), "loras={}")
        assert said == ["--set loras={} goes over the axis loras.style"]
        assert [*changed.batch.axes[4].labels()] == ["none"]
        assert not any(cell.job.loras for cell in cells(changed.batch))

    def test_one_lora_alone_is_forgotten_with_all(self) -> None:
        text = "prompts: [a]\nlora_files: {x: me/x}\nsettings: {loras.x: 0.5}"
        changed, _ = said_by(load(text), "loras={}")
        assert "loras.x" not in changed.batch.settings

    def test_a_condition_that_the_setting_ends_is_dropped(self) -> None:
        """guidance above 7 is excluded for one seed; at 6 nothing is."""
        changed, _ = said_by(load(), "guidance_scale=6")
        assert changed.batch.exclude == ()

    def test_an_only_that_the_setting_ends_leaves_no_cell(self) -> None:
        text = "prompts: [a]\naxes: {steps: [1, 2]}\nonly: [{steps: 2}]"
        with pytest.raises(UsageError, match="no cell is left"):
            said_by(load(text), "steps=1")
        changed, _ = said_by(load(text), "steps=2")
        assert Matrix(changed.batch).cells == 1

    def test_the_cells_are_those_of_a_file_that_says_so(self) -> None:
        changed, _ = said_by(load("prompts: [a]\nseeds: 1..3"), "steps=9", "refiner.steps=4")
        same = load("prompts: [a]\nseeds: 1..3\nsettings: {steps: 9, refiner: {steps: 4}}")
        assert changed.batch == same.batch

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
    def test_values(self, option: str, name: str, value: object) -> None:
        changed, _ = said_by(load(), option)
        assert changed.batch.settings[name] == value
        assert all(_in_cell(cell, name) == value for cell in cells(changed.batch))

    @pytest.mark.parametrize(
        ("option", "message", "hint"),
        [
            ("steps", "is not NAME=VALUE", "--set steps=10"),
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
    def test_mistakes_are_usage_errors(self, option: str, message: str, hint: str) -> None:
        with pytest.raises(UsageError) as caught:
            said_by(load(), option)
        assert message in caught.value.message + caught.value.hint
        assert hint in caught.value.hint


class TestTiny:
    def test_several_hub_loras_in_one_cell(self, tmp_path: Path) -> None:
        """Each becomes a LoRA file of its own with the tiny LoRA's weights."""
        text = "prompts: [a]\nlora_files: {x: me/x, y: me/y}\nsettings: {loras: {x: 1, y: 1}}"
        said: list[str] = []
        file = with_model(load(text), "tiny", said.append, tmp_path)
        one, two = (Path(path).read_bytes() for path in file.lora_sources.values())
        assert one != two
        assert b'"stands_for": "y"' in two
        assert check_lora_file(Path(file.lora_sources["y"])) is None
        assert one[-64:] == two[-64:]
        assert file.batch.models.keys() == {"tiny", "tiny-refiner"}

    def test_sizes_are_an_eighth(self, tmp_path: Path) -> None:
        """Those of the picture and those that the model is told; one that is small already, as
        for a trial, stays."""
        text = (
            "prompts: [a]\naxes: {size: [1024x1024, 1216x832, 64x64]}\n"
            "settings: {original_size: 4096x2048, crop: {top: 64, left: 8}}"
        )
        said: list[str] = []
        found = cells(with_model(load(text), "tiny", said.append, tmp_path).batch)
        sizes = [(cell.job.width, cell.job.height) for cell in found]
        assert sizes == [(128, 128), (152, 104), (64, 64)]
        assert {cell.job.original_size for cell in found} == {Size(width=512, height=256)}
        assert {cell.job.crop for cell in found} == {Crop(top=8, left=1)}
        assert "--model tiny: sizes are an eighth of the file's, since it draws 128x128" in said

    def test_a_file_for_the_tiny_model_stays_as_it_is(self, tmp_path: Path) -> None:
        """Its sizes were meant."""
        file, said = load("prompts: [a]\nmodel: tiny\nsettings: {size: 512x512}"), []
        assert with_model(file, "tiny", said.append, tmp_path) == file
        assert not [line for line in said if "size" in line]

    def test_without_a_size_nothing_is_said_of_it(self, tmp_path: Path) -> None:
        said: list[str] = []
        [cell] = cells(with_model(load("prompts: [a]"), "tiny", said.append, tmp_path).batch)
        assert (cell.job.width, cell.job.height) == (128, 128)
        assert not [line for line in said if "size" in line]

    @pytest.mark.parametrize("model", ["SDXL", "sdlx", "mine.ckpt", "no model"])
    def test_a_model_that_is_none(self, model: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="--model"):
            with_model(load(), model, print, tmp_path)


class TestPrompt:
    def plan(self, *arguments: str) -> Any:
        return CliRunner().invoke(cli, ["plan", *arguments])

    @pytest.mark.parametrize(
        ("seeds", "count"), [("1..4", 4), ("3,5,8", 3), ("7", 1), ("{random: 8, from: 1}", 8)]
    )
    def test_without_a_file(self, seeds: str, count: int) -> None:
        answer = self.plan("--prompt", 'a "wolf": chilly, {{x}}', "--prompt", "b", "--seeds", seeds)
        assert answer.exit_code == 0, answer.output
        assert f"{2 * count} cells" in answer.output
        assert 'a "wolf": chilly' in answer.output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("batch.yaml", "--prompt", "a"), "both given"),
            (("--seeds", "1"), "--seeds goes with --prompt"),
            ((), "FILE is missing"),
            (("--prompt", "a", "--seeds", "9..1"), "the command line"),
        ],
    )
    def test_mistakes(self, arguments: tuple[str, ...], message: str) -> None:
        answer = self.plan(*arguments)
        assert message in str(answer.exception)


class TestSurprises:
    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("prompts: [a]\nsettings: {size: 512x512}", "size 512x512 is outside"),
            ("prompts: [a]\naxes: {size: [1024x1024, 296x400]}", "size 296x400"),
            (f"prompts: ['{'wolf ' * 90}']", "tokens and the text encoders read 75"),
            (f"words: {{w: [{'wolf ' * 45}]}}\nprompts: ['{{w}} {{w}}']", "text encoders read 75"),
            ("prompts: [a]\nsettings: {refiner: {steps: 5}}", "no cell has a refiner"),
            ("prompts: [a]\nsettings: {refiner: {strength: 0.3}, high_noise_frac: 0.8}",
             "refiner.strength has no effect"),
            ("prompts: [a]\nsettings: {negative_prompt_2: bad}", "negative_prompt_2 has no effect"),
        ],
    )  # fmt: skip
    def test_is_said(self, text: str, note: str) -> None:
        assert [
            said for said in surprises(load(text.replace("300x400", "296x400"))) if note in said
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "prompts: [a wolf]\nsettings: {high_noise_frac: 0.8, refiner: {steps: 5}}",
            f"prompts: ['{'wolf ' * 90}']\nsettings: {{long_prompts: chunk}}",
            "model: tiny\nprompts: [a]\nsettings: {size: 64x64}",
        ],
        ids=["refiner", "chunk", "tiny"],
    )
    def test_nothing_is_said_of_what_is_usual(self, text: str) -> None:
        assert [*surprises(load(text))] == []

    def test_equal_cells_are_named_with_what_makes_no_difference(self) -> None:
        text = "prompts: [a]\nseeds: 1..2\nvariants: {base: {}, worse: {negative_prompt: bad}}\n"
        [note] = equal_cells(Matrix(load(f"{text}settings: {{guidance_scale: 1}}").batch))
        assert "#1 is the same picture as #0: variant 'worse' changes nothing from 'base'" in note
        assert not [*equal_cells(Matrix(load(text).batch))]


def test_trials_share_pictures_with_the_whole_batch() -> None:
    """--where and --limit keep keys; a trial's id is its own, and the same each time."""
    whole = load().batch
    keys = {cell.key for cell in cells(whole)}
    trial = limited(only_where(whole, ["animal=wolf"]), 4)
    assert {cell.key for cell in cells(trial)} < keys
    assert trial.id != whole.id
    assert trial.id == limited(only_where(load().batch, ["animal=wolf"]), 4).id
    assert len(list(itertools.islice(Matrix(trial), 5))) == 4
