"""Values that are made: texts and tables from files, files by a pattern, keywords, ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.batch import Axis, Matrix, RangeAxis
from common.errors import BatchFileError
from producer.language import BatchFile, load_batch_file
from producer.language.axes import tables
from producer.language.axes.tables import MAX_BYTES


def load(folder: Path, text: str) -> BatchFile:
    return load_batch_file(folder / "batch.yaml", text=text, base_dir=folder)


def read(folder: Path, text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """(label, settings) of each value of an axis."""
    axis = next(axis for axis in load(folder, text).batch.axes if axis.name == name)
    return [(value.label, value.settings) for value in map(axis.value, range(axis.count))]


def labels(folder: Path, text: str, name: str) -> list[str]:
    return [label for label, _ in read(folder, text, name)]


class TestTexts:
    def test_each_line_is_a_value_but_empty_ones_and_comments(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("\ufeffwolf\r\n\r\n  # none\r\n  Zoë, a cat \r\n".encode())
        for text in ("prompts: {file: a.txt}", "prompts: [{file: a.txt}]"):
            assert labels(tmp_path, text, "prompt") == ["wolf", "Zoë, a cat"]

    def test_they_stand_beside_others_and_in_words(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("cat\nno\n2024")
        text = "words: {animal: [wolf, {file: a.txt}]}\nprompts: ['{animal}']"
        assert labels(tmp_path, text, "animal") == ["wolf", "cat", "no", "2024"]
        prompts = [cell.job.prompt for cell in Matrix(load(tmp_path, text).batch)]
        assert prompts == ["wolf", "cat", "no", "2024"]

    def test_numbers_are_read_where_numbers_are_meant(self, tmp_path: Path) -> None:
        (tmp_path / "seeds.txt").write_text("7\n18446744073709551615\n")
        text = "prompts: [a]\nseeds: {file: seeds.txt}"
        assert labels(tmp_path, text, "seed") == ["7", "18446744073709551615"]

    def test_lines_are_templates_too(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a {animal}\n")
        text = "words: {animal: [wolf]}\nprompts: {file: a.txt}"
        assert [cell.job.prompt for cell in Matrix(load(tmp_path, text).batch)] == ["a wolf"]

    def test_paths_are_relative_to_the_batch_file_or_absolute(self, tmp_path: Path) -> None:
        (tmp_path / "lists").mkdir()
        (tmp_path / "lists" / "a.txt").write_text("wolf")
        for name in ("lists/a.txt", "./lists/../lists/a.txt", f"'{tmp_path}/lists/a.txt'"):
            assert labels(tmp_path, f"prompts: {{file: {name}}}", "prompt") == ["wolf"]

    def test_a_file_as_large_as_allowed_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("wolf\n" + "#" * (MAX_BYTES - 5))
        assert labels(tmp_path, "prompts: {file: a.txt}", "prompt") == ["wolf"]

    def test_an_axis_ends_at_100_000_values(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("producer.language.axes.axes.MAX_VALUES", 3)
        (tmp_path / "a.txt").write_text("a\nb\nc")
        assert labels(tmp_path, "prompts: {file: a.txt}", "prompt") == ["a", "b", "c"]
        with pytest.raises(BatchFileError, match="more than 3 values"):
            load(tmp_path, "prompts: [z, {file: a.txt}]")


class TestTables:
    @pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
    def test_columns_are_settings_and_name_is_the_label(
        self, separator: str, tmp_path: Path
    ) -> None:
        rows = [["name", "prompt", "seed"], ["w", '"a ""wolf"""', "7"], ["", "cat", ""]]
        table = "\r\n".join(separator.join(row) for row in rows)
        (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
        assert read(tmp_path, "prompts: {file: p.csv}", "prompt") == [
            ("w", {"prompt": 'a "wolf"', "seed": "7"}),
            ("cat", {"prompt": "cat"}),
        ]

    def test_a_quoted_cell_holds_separators_and_lines(self, tmp_path: Path) -> None:
        (tmp_path / "p.csv").write_text('prompt,steps\n"A wolf, chilly\nfilm",20\n\n b ,30\n')
        found = [settings for _, settings in read(tmp_path, "prompts: {file: p.csv}", "prompt")]
        assert found == [
            {"prompt": "A wolf, chilly\nfilm", "steps": 20},
            {"prompt": "b", "steps": 30},
        ]

    def test_dotted_columns_and_cells_that_hold_mappings(self, tmp_path: Path) -> None:
        table = (
            "name;refiner.steps;loras;crop;refiner\n"
            "x;30;{style: 0.5};{left: 8};\ny;;{};;{aesthetic_score: 7}\n"
        )
        (tmp_path / "v.csv").write_text(table)
        text = "prompts: [a]\nlora_files: {style: me/s}\nvariants: {file: v.csv}"
        assert read(tmp_path, text, "variant") == [
            ("x", {"refiner.steps": 30, "loras": {"style": 0.5}, "crop": {"left": 8}}),
            ("y", {"loras": {}, "refiner.aesthetic_score": 7.0}),
        ]

    def test_a_prompt_in_braces_is_a_template(self, tmp_path: Path) -> None:
        (tmp_path / "p.csv").write_text(
            'prompt,seed\n{animal},1\n"{animal} in {animal}",2\n{a|b},3'
        )
        text = "words: {animal: [wolf]}\nprompts: {file: p.csv}"
        prompts = [cell.job.prompt for cell in Matrix(load(tmp_path, text).batch)]
        assert prompts == ["wolf", "wolf in wolf", "{a|b}"]

    def test_a_words_table_has_a_column_of_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "w.csv").write_text("animal,seed\n{big} wolf,7\ncat,8")
        text = "words: {big: [large], animal: {file: w.csv}}\nprompts: ['{animal}']"
        cells = [*Matrix(load(tmp_path, text).batch)]
        assert [(c.job.prompt, c.job.seed) for c in cells] == [("large wolf", 7), ("cat", 8)]

    def test_null_and_numbers_are_read_as_in_a_batch_file(self, tmp_path: Path) -> None:
        (tmp_path / "p.csv").write_text("prompt,negative_prompt\n2024,null\n0123,~\nno,wrong")
        assert [settings for _, settings in read(tmp_path, "prompts: {file: p.csv}", "prompt")] == [
            {"prompt": "2024", "negative_prompt": None},
            {"prompt": "0123", "negative_prompt": None},
            {"prompt": "no", "negative_prompt": "wrong"},
        ]

    def test_tsv_and_upper_case_are_tables_too(self, tmp_path: Path) -> None:
        (tmp_path / "p.TSV").write_text("prompt\tseed\na, b\t3")
        assert labels(tmp_path, "prompts: {file: p.TSV}", "prompt") == ["a, b"]


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("e10", "e2", "e1"):
            (tmp_path / f"{name}.safetensors").write_bytes(b"")
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "e2.safetensors").write_bytes(b"")
        return tmp_path

    def test_loras_are_named_after_their_files_in_natural_order(self, folder: Path) -> None:
        text = "prompts: [a]\naxes: {loras: [{}, {files: '*.safetensors'}]}"
        assert read(folder, text, "loras") == [
            ("none", {"loras": {}}),
            ("e1", {"loras": {"e1": 1.0}}),
            ("e2", {"loras": {"e2": 1.0}}),
            ("e10", {"loras": {"e10": 1.0}}),
        ]
        file = load(folder, text)
        assert file.lora_sources["e10"] == "./e10.safetensors"
        assert file.batch.loras == {"e1": None, "e2": None, "e10": None}

    def test_models_are_paths_and_equal_stems_are_told_apart(self, folder: Path) -> None:
        text = "prompts: [a]\naxes: {model: {files: '**/e2.safetensors'}}"
        assert read(folder, text, "model") == [
            ("e2.safetensors", {"model": "./e2.safetensors"}),
            ("more/e2.safetensors", {"model": "./more/e2.safetensors"}),
        ]

    def test_absolute_patterns(self, folder: Path) -> None:
        text = f"prompts: [a]\naxes: {{vae: {{files: '{folder}/e1*'}}}}"
        found = dict(read(folder, text, "vae"))
        assert found["e1"] == {"vae": f"{folder}/e1.safetensors"}

    def test_a_file_in_lora_files_may_have_its_own_name_there(self, folder: Path) -> None:
        text = "prompts: [a]\nlora_files: {e1: %s}\naxes: {loras: {files: 'e1.*'}}"
        assert labels(folder, text % "./e1.safetensors", "loras") == ["e1"]
        assert labels(folder, text % "e1.safetensors", "loras") == ["e1"]
        with pytest.raises(BatchFileError, match="e1 is another file in lora_files"):
            load(folder, text % "./e2.safetensors")

    def test_one_pattern_ends_at_10_000_files(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MAX_FILES", 3)
        text = "prompts: [a]\naxes: {model: {files: '%s'}}"
        assert len(labels(folder, text % "*.safetensors", "model")) == 3
        with pytest.raises(BatchFileError, match="more than 3 files match"):
            load(folder, text % "**/*.safetensors")


class TestEmphasise:
    def test_each_keyword_in_turn(self, tmp_path: Path) -> None:
        text = "prompts: [{emphasise: [low quality, blurry, '2024'], with: ++}]"
        assert read(tmp_path, text, "prompt") == [
            ("low quality", {"prompt": "(low quality)++, blurry, 2024"}),
            ("blurry", {"prompt": "low quality, (blurry)++, 2024"}),
            ("2024", {"prompt": "low quality, blurry, (2024)++"}),
        ]

    @pytest.mark.parametrize("weight", ["1.3", "0.5", "2", "+", "--", "++++++++++"])
    def test_weights(self, weight: str, tmp_path: Path) -> None:
        text = f"axes: {{negative_prompt: {{emphasise: [a], with: {weight!r}}}}}\nprompts: [p]"
        found = read(tmp_path, text, "negative_prompt")
        assert found == [("a", {"negative_prompt": f"(a){weight}"})]

    def test_keywords_of_a_file_beside_others_and_words_in_them(self, tmp_path: Path) -> None:
        (tmp_path / "k.txt").write_text("ugly\nblurry")
        text = (
            "words: {w: [{emphasise: [bad hands, {file: k.txt}], with: '-'}, '{x}'], x: [y]}\n"
            "prompts: ['{w}']"
        )
        assert [cell.job.prompt for cell in Matrix(load(tmp_path, text).batch)] == [
            "(bad hands)-, ugly, blurry",
            "bad hands, (ugly)-, blurry",
            "bad hands, ugly, (blurry)-",
            "y",
        ]


class TestRanges:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("5..6 by 0.5", "5 5.5 6"),
            ("5.00..6.0 by 0.50", "5 5.5 6"),
            ("05..06 by 00.5", "5 5.5 6"),
            ("5 .. 6  by  0.5", "5 5.5 6"),
            ("0..0.3 by 0.1", "0 0.1 0.2 0.3"),
            ("1..2 by 0.4", "1 1.4 1.8"),
            ("7.5..7.5", "7.5"),
            ("[1..2, 4, 5..6 by 0.5]", "1 2 4 5 5.5 6"),
        ],
    )
    def test_decimals(self, written: str, expected: str, tmp_path: Path) -> None:
        text = f"prompts: [a]\naxes: {{guidance_scale: {written}}}"
        found = read(tmp_path, text, "guidance_scale")
        assert [label for label, _ in found] == expected.split()
        assert [s["guidance_scale"] for _, s in found] == [float(n) for n in expected.split()]

    def test_negative_numbers(self, tmp_path: Path) -> None:
        text = "prompts: [a]\nlora_files: {w: me/w}\naxes: {loras.w: -1..1 by 0.5}"
        assert labels(tmp_path, text, "loras.w") == ["-1", "-0.5", "0", "0.5", "1"]
        scales = [
            c.job.loras[0].unet if c.job.loras else 0 for c in Matrix(load(tmp_path, text).batch)
        ]
        assert scales == [-1, -0.5, 0, 0.5, 1]

    def test_the_last_value_is_one_that_is_reached(self, tmp_path: Path) -> None:
        axis = load(tmp_path, "prompts: [a]\nseeds: 0..100 by 30").batch.axes[1]
        assert axis == RangeAxis(name="seed", first="0", last="90", step="30")
        one = load(tmp_path, "prompts: [a]\nseeds: 5..9 by 30").batch.axes[1]
        assert one == RangeAxis(name="seed", first="5", last="5", step="1")

    def test_dotted_axes(self, tmp_path: Path) -> None:
        text = "prompts: [a]\naxes: {refiner.steps: 10..30 by 10, refiner.prompt: [a b, null]}"
        with pytest.raises(BatchFileError, match="null"):
            load(tmp_path, text)
        text = text.replace(", null", "")
        assert read(tmp_path, text, "refiner.steps")[2] == ("30", {"refiner.steps": 30})
        assert labels(tmp_path, text, "refiner.prompt") == ["a b"]

    def test_a_range_is_no_list(self, tmp_path: Path) -> None:
        batch = load(tmp_path, "prompts: [a]\nseeds: 0..3\naxes: {steps: [1..3]}").batch
        assert [type(axis) for axis in batch.axes] == [Axis, RangeAxis, Axis]
