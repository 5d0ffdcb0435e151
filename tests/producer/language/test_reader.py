"""The batch file's language: what it means, and what it says about every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from common.batch import Axis, Batch, Matrix, RangeAxis
from common.errors import BatchFileError, InputFileError
from common.job import BUILTIN_MODELS, Job
from producer.language import BatchFile, load_batch_file, printed
from producer.language.axes.generators import KEYS
from producer.language.settings import DEFAULTS, SETTINGS
from tests.support.batch_files import documents, dumped, words
from tests.support.broken_files import BROKEN, write_room

ROOM = Path("/batches")


def load(text: str, name: str = "trial") -> BatchFile:
    return load_batch_file(ROOM / f"{name}.yaml", text=text, base_dir=ROOM)


def axis(text: str, name: str) -> Axis | RangeAxis:
    return next(axis for axis in load(text).batch.axes if axis.name == name)


def labels(text: str, name: str) -> list[str]:
    return [*axis(text, name).labels()]


def values(text: str, name: str) -> list[dict[str, Any]]:
    found = axis(text, name)
    return [found.value(at).settings for at in range(found.count)]


class TestAxes:
    def test_a_prompt_is_a_text_a_bundle_or_a_named_one_of_both(self) -> None:
        assert values("prompts: A wolf, chilly", "prompt") == [{"prompt": "A wolf, chilly"}]
        assert labels("prompts: [A wolf]", "prompt") == ["A wolf"]
        named = "prompts: {a: A wolf, b: {prompt: A cat, seed: 7}}"
        assert labels(named, "prompt") == ["a", "b"]
        assert values(named, "prompt")[1] == {"prompt": "A cat", "seed": "7"}
        bundles = "prompts: [{prompt: A wolf, seed: 1}, {prompt: A cat, seed: 2}]"
        assert labels(bundles, "prompt") == ["A wolf", "A cat"]

    def test_axes_keep_the_order_of_the_file(self) -> None:
        text = "variants: [{}]\naxes: {steps: [10], size: [64x64]}\nprompts: [a]\nseeds: 1"
        assert [a.name for a in load(text).batch.axes] == [
            "variant", "steps", "size", "prompt", "seed",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("seeds", "expected"),
        [
            ("0..3", ["0", "1", "2", "3"]),
            ("7..7", ["7"]),
            ("0..10 by 4", ["0", "4", "8"]),
            ("7..9 by 9999999999999999999999999", ["7"]),
            ("5", ["5"]),
            ("[3, 1]", ["3", "1"]),
            (f"[{2**64 - 1}]", [str(2**64 - 1)]),
            ("{first: 3, second: 1}", ["first", "second"]),
        ],
    )
    def test_seeds(self, seeds: str, expected: list[str]) -> None:
        assert labels(f"prompts: [a]\nseeds: {seeds}", "seed") == expected

    def test_a_million_seeds_stay_a_range(self) -> None:
        seeds = axis("prompts: [a]\nseeds: 0..999_999".replace("_", ""), "seed")
        assert isinstance(seeds, RangeAxis)
        assert seeds.count == 1_000_000

    def test_equal_ranges_are_equal_axes(self) -> None:
        text = "prompts: [a]\nseeds: "
        assert axis(f"{text}0..99 by 3", "seed") == axis(f"{text}0 .. 101 by 3", "seed")

    def test_steps_are_an_integer_axis_too(self) -> None:
        assert labels("prompts: [a]\naxes: {steps: 10..50 by 20}", "steps") == ["10", "30", "50"]

    def test_a_mapping_is_a_bundle_where_the_setting_takes_no_mapping(self) -> None:
        text = "prompts: [a]\naxes: {size: [64x64, {size: 128x64, steps: 3}, {steps: 4}]}"
        assert values(text, "size")[1:] == [{"size": "128x64", "steps": 3}, {"steps": 4}]
        assert labels(text, "size") == ["64x64", "size 128x64, steps 3", "steps 4"]

    def test_a_mapping_is_the_value_where_the_setting_takes_mappings(self) -> None:
        text = "lora_files: {w: me/w}\nprompts: [a]\naxes: {loras: [{}, {w: 0.5}]}"
        assert values(text, "loras") == [{"loras": {}}, {"loras": {"w": 0.5}}]
        assert labels(text, "loras") == ["none", "w 0.5"]

    def test_names_label_mappings(self) -> None:
        text = "lora_files: {w: me/w}\nprompts: [a]\naxes: {loras: {off: {}, on: {w: 1}}}"
        assert labels(text, "loras") == ["off", "on"]
        assert values(text, "loras")[1] == {"loras": {"w": 1.0}}

    def test_a_scheduler_with_options_is_a_value_and_other_mappings_are_bundles(self) -> None:
        text = (
            "prompts: [a]\naxes:\n  scheduler:\n    - {name: euler, timestep_spacing: trailing}\n"
            "    - {scheduler: lcm, steps: 4}\n    - default"
        )
        assert values(text, "scheduler") == [
            {"scheduler": {"name": "euler", "timestep_spacing": "trailing"}},
            {"scheduler": "lcm", "steps": 4},
            {"scheduler": None},
        ]
        assert labels(text, "scheduler")[0] == "euler + timestep_spacing trailing"

    def test_an_axis_of_another_name_takes_bundles(self) -> None:
        text = "prompts: [a]\naxes: {speed: {fast: {steps: 8, guidance_scale: 2}, slow: {}}}"
        assert values(text, "speed") == [{"steps": 8, "guidance_scale": 2.0}, {}]

    def test_a_variant_with_nothing_behind_it_is_an_empty_bundle(self) -> None:
        assert values("prompts: [a]\nvariants:\n  base:\n  other: {steps: 3}", "variant")[0] == {}

    def test_labels_of_values_are_canonical(self) -> None:
        text = "prompts: [a]\naxes: {guidance_scale: [13.0, 7.50, 1e1]}"
        assert labels(text, "guidance_scale") == ["13", "7.5", "10"]
        text = 'prompts: [a]\naxes: {negative_prompt: [null, wrong, ""]}'
        assert labels(text, "negative_prompt") == ["none", "wrong", "empty"]
        text = "prompts: [a]\naxes: {refiner: [{aesthetic_score: 2.5}, {model: me/r}]}"
        assert labels(text, "refiner") == ["aesthetic_score 2.5", "model me/r"]

    def test_a_variant_may_set_what_a_prompt_sets(self) -> None:
        text = "prompts: [{prompt: a, seed: 1}]\nvariants: {x: {seed: 2, prompt: b}}"
        assert values(text, "variant") == [{"seed": "2", "prompt": "b"}]


class TestSettings:
    def test_defaults_that_depend_on_the_model_stay_open(self) -> None:
        batch = load("prompts: [a]").batch
        assert batch.settings == DEFAULTS
        assert not {"dtype", "vae", "refiner", "loras", "scheduler"} & batch.settings.keys()

    def test_what_is_written_is_plain_json(self) -> None:
        written = load(
            "prompts: [a]\nlora_files: {w: ./w.safetensors}\n"
            "settings: {seed: 18446744073709551615, guidance_scale: 13, steps: 20, size: 1216X832,"
            " loras: {w: {unet: 1, text_encoder: 0}}, refiner: {aesthetic_score: 6},"
            " negative_prompt: null, scheduler: DPM++ 2M Karras}"
        ).batch.settings
        assert written["seed"] == "18446744073709551615"
        assert isinstance(written["guidance_scale"], float)
        assert isinstance(written["steps"], int)
        assert written["size"] == "1216x832"
        assert written["loras"] == {"w": {"unet": 1.0, "text_encoder": 0.0}}
        assert written["refiner.aesthetic_score"] == 6.0
        assert written["negative_prompt"] is None
        assert written["scheduler"] == "DPM++ 2M Karras"

    def test_no_negative_prompt_and_an_empty_one_differ(self) -> None:
        assert (
            load("prompts: [a]\nsettings: {negative_prompt: ''}").batch.settings["negative_prompt"]
            == ""
        )

    @pytest.mark.parametrize("text", ["no", "on", "yes", "16:9", "0123", "1_000", "true", "2024"])
    def test_text_stays_text_where_text_is_meant(self, text: str) -> None:
        assert values(f"prompts: [{text}]", "prompt") == [{"prompt": text}]
        assert labels(f"prompts: {{{text}: a}}", "prompt") == [text]

    def test_the_name_defaults_to_the_files(self) -> None:
        assert load("prompts: [a]", "wolves").batch.name == "wolves"
        assert load("name: 2024\nprompts: [a]", "wolves").batch.name == "2024"
        assert load_batch_file(None, text="prompts: [a]", base_dir=ROOM).batch.name == "batch"
        assert load("prompts: [a]", "w\udcff" * 200).batch.name == "w?" * 50

    def test_keys_with_nothing_behind_them_are_as_if_not_written(self) -> None:
        text = "prompts: [a]\nsettings:\naxes:\nexclude:\nonly:\nlora_files:\nname:\nseeds:"
        assert load(text).batch == load("prompts: [a]").batch

    def test_builtins_are_pinned_and_the_rest_is_open(self) -> None:
        pinned = "me/mine@" + "a" * 40
        text = f"prompts: [a]\naxes: {{model: [./m.safetensors, me/mine, '{pinned}']}}"
        models = load(text).batch.models
        assert models["./m.safetensors"] is None
        assert models["me/mine"] is None
        assert models[pinned] == pinned
        assert models["sdxl-refiner"] == BUILTIN_MODELS["sdxl-refiner"]
        assert models["fp16-fix"] == BUILTIN_MODELS["fp16-fix"]

    def test_models_of_vae_and_refiner_are_listed_and_own_is_none(self) -> None:
        text = "model: tiny\nprompts: [a]\nvariants: [{vae: own}, {refiner: {model: me/r}}]"
        assert load(text).batch.models == {
            "tiny": BUILTIN_MODELS["tiny"],
            "tiny-refiner": BUILTIN_MODELS["tiny-refiner"],
            "me/r": None,
        }

    def test_only_loras_that_cells_use_are_in_the_batch(self) -> None:
        file = load("prompts: [a]\nlora_files: {x: me/x, y: me/y}\nsettings: {loras: {y: 1}}")
        assert file.batch.loras == {"y": None}
        assert file.lora_sources == {"x": "me/x", "y": "me/y"}
        assert file.notes == ("lora_files.x: no cell uses it",)


class TestNotes:
    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("prompts: ['a (cat:1.3)']", "prompts.1: (words:1.3)"),
            ("prompts: {x: {prompt: 'a <lora:y:1>'}}", "prompts.x.prompt: <lora:…>"),
            ("prompts:\n  - a sign saying #1 dad", "prompts.1: ends before '#1 dad'"),
            (
                "prompts: [a]\nsettings: {negative_prompt: none}",
                "settings.negative_prompt: draws the word 'none'",
            ),
            ("prompts:\n  wolf:a wolf\n  owl:an owl", "prompts: is one text"),
            ("prompts:\n  -a wolf\n  -a cat", "prompts: is one text"),
            ("prompts: lines.txt", "prompts: draws the words 'lines.txt'"),
            ("prompts: ['((snow)) and __animal__']", "prompts.1: ((words)) weighs nothing"),
            (
                "prompts: [a]\nsettings: {guidance_scale: 1, negative_prompt: bad}",
                "at guidance_scale 1 negative prompts have no effect",
            ),
        ],
    )
    def test_what_its_writer_should_know(self, text: str, note: str) -> None:
        assert [found for found in load(text).notes if found.startswith(note)]

    @pytest.mark.parametrize(
        ("variants", "noted"),
        [
            ("{a: {guidance_scale: 1}, b: {negative_prompt: bad}}", False),
            ("{a: {guidance_scale: 1, negative_prompt: bad}}", True),
            ("{a: {guidance_scale: 1}, b: {}}\naxes: {negative_prompt: [bad]}", True),
            ("{a: {guidance_scale: 1}, b: {}}\nsettings: {negative_prompt: bad}", True),
        ],
    )
    def test_a_negative_prompt_that_no_cell_reads(self, variants: str, noted: bool) -> None:
        """Two variants are never in one cell; all else may be."""
        notes = load(f"prompts: [a]\nvariants: {variants}").notes
        assert notes == (("at guidance_scale 1 negative prompts have no effect",) if noted else ())

    def test_an_ordinary_comment_is_not_noted(self) -> None:
        assert load("prompts:\n  - a sign  # as in the article").notes == ()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of files that broken batch files name."""
    folder = tmp_path_factory.mktemp("room")
    write_room(folder)
    return folder


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "path", "message", "hint"),
        [pytest.param(*row[1:], id=row[0]) for row in BROKEN],
    )
    def test_says_where_what_and_what_to_do(
        self, text: str, path: str, message: str, hint: str, room: Path
    ) -> None:
        with pytest.raises(BatchFileError) as caught:
            load_batch_file(room / "trial.yaml", text=text, base_dir=room)
        [problem] = caught.value.problems
        assert problem.path == path
        assert message in problem.message
        assert hint in problem.hint
        assert caught.value.exit_code == 2

    def test_all_in_one_run(self) -> None:
        text = (
            "promts: [a]\nsettings: {steps: x, sise: 3}\nvariants: {a: {seed: -1}, a: {}}\n"
            "exclude: [{variant: b, sed: 1}]\nprompts: [a, {prompt: ()}]\nmodel: ./x.bin"
        )
        with pytest.raises(BatchFileError) as caught:
            load(text)
        paths = {problem.path for problem in caught.value.problems}
        assert paths == {
            "promts", "settings.steps", "settings.sise", "variants.a", "exclude.1.variant",
            "exclude.1.sed", "prompts.2.prompt", "model",
        }  # fmt: skip
        assert "8 mistakes" in caught.value.message

    def test_a_value_of_a_broken_axis_is_not_a_second_mistake(self) -> None:
        text = "prompts: [a]\naxes: {steps: [x, 3]}\nexclude: [{steps: x}]"
        with pytest.raises(BatchFileError) as caught:
            load(text)
        assert [problem.path for problem in caught.value.problems] == ["axes.steps.1"]

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"nope\.yaml"):
            load_batch_file(tmp_path / "nope.yaml", base_dir=tmp_path)
        with pytest.raises(InputFileError, match="directory"):
            load_batch_file(tmp_path, base_dir=tmp_path)


class TestProperties:
    @given(documents())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def test_a_file_within_the_language_loads_and_its_print_is_the_same_batch(
        self, document: dict[str, Any]
    ) -> None:
        file = load_or_assume(document)
        batch = file.batch
        assert load(printed(batch, file.lora_sources)).batch == batch
        assert Batch.from_bytes(batch.to_bytes(), source="test") == batch
        for axis in batch.axes:
            assert len({*axis.labels()}) == axis.count

    @given(documents(), st.randoms(use_true_random=False))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def test_every_job_survives_the_wire_whatever_the_order_of_settings(
        self, document: dict[str, Any], chosen: Random
    ) -> None:
        """Given the same file with every mapping but the axes in another order,
        then each cell is the same Job, and its JSON is too."""
        matrix = Matrix(load_or_assume(document).batch)
        other = Matrix(load(dumped(shuffled(document, chosen))).batch)
        for i in sorted({0, len(matrix) // 2, len(matrix) - 1}):
            cell, same = matrix[i], other[i]
            assert (cell and cell.key) == (same and same.key)
            if cell:
                assert Job.from_json(json.loads(json.dumps(cell.job.to_json()))) == cell.job

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | words
            | st.sampled_from(["0..9", "5..13 by 0.5", "> 9", "euler", "64x64", "me/x"]),
            lambda inner: st.lists(inner, max_size=4)
            | st.dictionaries(
                words | st.sampled_from(["prompts", "axes", "seeds", "exclude", *SETTINGS, *KEYS]),
                inner, max_size=5,
            ),
            max_leaves=25,
        )
    )  # fmt: skip
    @settings(max_examples=200, deadline=None)
    def test_whatever_the_structure_the_only_error_is_ours(self, node: Any) -> None:
        keys = ("prompts", "settings", "axes", "variants", "exclude", "words", "seeds", "only")
        for document in (node, dict.fromkeys(keys, node), {"prompts": ["a"], "axes": node}):
            with _only_our_error():
                load(yaml.safe_dump(document))

    @given(st.text() | st.text(st.sampled_from("prompts: [a]{}\"'#&*!|>\n\t-,0..9\\u")))
    @settings(max_examples=500, deadline=None)
    def test_whatever_the_text_the_only_error_is_ours(self, text: str) -> None:
        for document in (text, f"prompts: {text}", f"prompts:\n  - {text}"):
            with _only_our_error():
                load(document)


def load_or_assume(document: dict[str, Any]) -> BatchFile:
    """The file, unless its conditions leave no cell."""
    try:
        return load(dumped(document))
    except BatchFileError as error:
        assume("leave no cell" not in error.message)
        raise


def shuffled(document: dict[str, Any], chosen: Random) -> dict[str, Any]:
    """The same file with the settings of each bundle, and its LoRAs, in another order."""

    def mixed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: mixed(value[name]) for name in chosen.sample([*value], len(value))}

    def axis(values: Any) -> Any:
        named = isinstance(values, dict)
        return {name: mixed(value) for name, value in values.items()} if named else values

    swept = {name: axis(values) for name, values in document["axes"].items()}
    bundles = {key: axis(document[key]) for key in ("prompts", "variants")}
    return document | bundles | {"settings": mixed(document["settings"]), "axes": swept}


class _only_our_error:  # noqa: N801
    """Passes over BatchFileError, and over a Batch."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is BatchFileError
