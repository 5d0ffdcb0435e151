"""docs/batch-files.md is true: its batch files load and have the cells that it says, its mistakes
are mistakes, its tables are complete, its notes are said, its commands run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from common.batch import Matrix, complete
from common.errors import BatchFileError
from common.job import SCHEDULER_NAMES, RefinerUse, parse_scheduler
from producer.cli.main import run
from producer.language import load_batch_file
from producer.language.settings import DEFAULTS, SETTINGS, as_text

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "batch-files.md").read_text(encoding="utf-8")
EPOCHS = ("epochs/style-e2.safetensors", "epochs/style-e10.safetensors")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what else stands behind the fence, its text and its line."""

    language: str
    about: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"line-{self.line}"


def blocks() -> Iterator[Block]:
    for found in re.finditer(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", GUIDE, re.MULTILINE):
        line = GUIDE.count("\n", 0, found.start()) + 1
        yield Block(found[1], found[2], found[3], line)


BLOCKS = [*blocks()]
BATCH_FILES = [block for block in BLOCKS if block.language == "yaml" and not block.about]
MISTAKES = [pair for pair in pairwise(BLOCKS) if pair[0].about == "wrong"]
COMMANDS = [
    line.split(" #")[0].strip()
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the guide names."""
    for block in BLOCKS:
        if re.fullmatch(r"\S+\.\w+", block.about):
            (tmp_path / block.about).write_text(block.text, encoding="utf-8")
    for name in EPOCHS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def with_prompts(text: str) -> str:
    return text if re.search(r"^prompts:", text, re.MULTILINE) else f"prompts: [a wolf]\n{text}"


@pytest.mark.parametrize("block", BATCH_FILES, ids=str)
def test_a_batch_file_loads_without_notes(block: Block, folder: Path) -> None:
    """And has the cells and pictures that its last comment says, if it says how many."""
    file = load_batch_file(None, text=with_prompts(block.text), base_dir=folder)
    assert file.notes == ()
    matrix = Matrix(file.batch)
    for count in re.findall(r"(\d+) cells", block.text)[-1:]:
        assert matrix.cells == int(count)
    for count in re.findall(r"(\d+) different pictures", block.text):
        assert matrix.jobs == int(count)


def test_most_batch_files_say_how_many_cells_they_have() -> None:
    assert len(BATCH_FILES) > 25
    assert sum("cells" in block.text for block in BATCH_FILES) > 20


@pytest.mark.parametrize(("block", "answer"), MISTAKES, ids=str)
def test_a_mistake_is_answered_as_the_guide_says(block: Block, answer: Block, folder: Path) -> None:
    with pytest.raises(BatchFileError) as caught:
        load_batch_file(None, text=with_prompts(block.text), base_dir=folder)
    assert [str(problem) for problem in caught.value.problems] == answer.text.splitlines()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose heading begins so, without their backticks."""
    table = GUIDE.partition(f"| {heading} |")[2].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table]


def unquoted(cell: str) -> str:
    """What stands between a cell's backticks; it must have them."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell[1:-1]


def test_the_table_of_settings_is_complete() -> None:
    assert [unquoted(row[0]) for row in rows("setting")] == [*SETTINGS]


def test_the_defaults_in_the_table_are_the_defaults() -> None:
    """A default that is a value stands in backticks; the others are in words."""
    scores = ("aesthetic_score", "negative_aesthetic_score")
    defaults = complete({**DEFAULTS}) | {
        f"refiner.{name}": RefinerUse.model_fields[name].default for name in scores
    }
    found = {unquoted(row[0]): row[2] for row in rows("setting")}
    values = {name: unquoted(cell) for name, cell in found.items() if cell.startswith("`")}
    assert values == {name: as_text(value) for name, value in defaults.items()}
    assert all(found.values())


@pytest.mark.parametrize("row", rows("setting"), ids=lambda row: str(row[0]).strip("`"))
def test_an_example_in_the_table_of_settings_is_not_the_default(row: list[str]) -> None:
    """It is read, and changes something."""
    name, example = unquoted(row[0]), unquoted(row[3])
    text = f"prompts: [a wolf]\nlora_files: {{wrong: a/b}}\nsettings: {{{name}: {example}}}\n"
    if name == "prompt":
        text = text.replace("prompts: [a wolf]\n", "")
    batch = load_batch_file(None, text=text, base_dir=Path()).batch
    assert batch.settings[name] != DEFAULTS.get(name)


def test_the_table_of_schedulers_is_complete() -> None:
    names = []
    for row in rows("sampler"):
        sampler, scheduler_type, words = unquoted(row[0]), unquoted(row[1]), row[2].split(", ")
        use = parse_scheduler(sampler)
        assert use and use.type == scheduler_type
        names += [sampler, *(f"{sampler} {word}" for word in words)]
    assert names == [*SCHEDULER_NAMES]


def test_the_table_of_examples_has_them_all_with_their_cells() -> None:
    found = {file: int(count) for file, _, count in rows("file")}
    expected = {}
    for path in (ROOT / "examples").glob("*.yaml"):
        matrix = Matrix(load_batch_file(path, base_dir=path.parent).batch)
        expected[f"[`{path.name}`](../examples/{path.name})"] = matrix.cells
    assert found == expected


NOTES = {
    "ends before '#1 dad'": "prompts:\n- a sign saying #1 dad",
    "… stays literal text": "prompts: ['(a cat:1.3)']",
    "has unbalanced parentheses": "prompts: ['(a cat']",
    "at guidance_scale 1 negative prompts have no effect": (
        "prompts: [a cat]\nsettings: {guidance_scale: 1, negative_prompt: blurry}"
    ),
    "no prompt has {place}": "prompts: [a cat]\nwords: {place: [Tokyo]}",
    "no cell uses it": "prompts: [a cat]\nlora_files: {wrong: a/b}",
    "is the same picture as": "prompts: [a cat]\nvariants: {a: {}, b: {}}",
    "is outside SDXL's training sizes": "prompts: [a cat]\nsettings: {size: 512x512}",
    "tokens and the text encoders read 75": f"prompts: [a cat {'on a mat ' * 40}]",
    "no cell has a refiner": "prompts: [a cat]\nsettings: {refiner: {steps: 10}}",
}


def test_the_table_of_notes_has_those_that_are_tested() -> None:
    assert [unquoted(row[0]) for row in rows("note")] == [*NOTES]


@pytest.mark.parametrize("note", NOTES)
def test_a_note_of_the_table_is_said(
    note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "batch.yaml"
    file.write_text(NOTES[note])
    assert run(["plan", str(file)]) == 0
    said = capsys.readouterr().err
    assert note.strip("… ") in said and "note: " in said


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_an_example_is_planned_without_a_note(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for what a machine without GPU and hub says of itself."""
    assert run(["plan", str(path)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "this machine" not in line] == []


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 4


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_runs(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the guide's first batch file."""
    monkeypatch.chdir(folder)
    (folder / "batch.yaml").write_text(BATCH_FILES[0].text)
    program, *arguments = shlex.split(command)
    assert program == "gridfarm"
    assert run(arguments) == 0, capsys.readouterr().err
