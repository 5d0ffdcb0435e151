"""What may be given as a batch, and its changes as the command line's options write them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from common.errors import BatchFileError
from producer.farm import as_yaml
from producer.farm.batch_argument import (
    TrialOptions,
    read_argument,
    set_options,
    tried,
    where_options,
)
from producer.language import BatchFile, load_batch_file
from producer.language.yaml import read_yaml, to_json

TEXT = "name: night\nmodel: tiny\nprompts: [a wolf]\nseeds: 0..3\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_texts_mappings_and_paths_are_read(folder: Path) -> None:
    (folder / "night.yaml").write_text(TEXT)
    (folder / "night").write_text(TEXT)
    mapping = {"name": "night", "model": "tiny", "prompts": ["a wolf"], "seeds": "0..3"}
    for argument in (TEXT, mapping, "night.yaml", Path("night.yaml"), "night"):
        file = read_argument(argument)
        assert isinstance(file, BatchFile) and file.batch.name == "night"


@pytest.mark.parametrize("word", ["@last", "night-bdf10f0b", "night"])
def test_other_texts_are_words_for_a_batch_in_the_store(word: str) -> None:
    assert read_argument(word) == word


@pytest.mark.parametrize("argument", ["name: night", {"prompts": []}, TEXT + "stepps: 3\n"])
def test_mistakes_in_a_batch_file(argument: str | dict[str, object]) -> None:
    with pytest.raises(BatchFileError):
        read_argument(argument)


def test_set_options() -> None:
    assert set_options("steps=10") == ("steps=10",)
    assert set_options(["steps=10", "vae=own"]) == ("steps=10", "vae=own")
    changes = {"steps": 10, "prompt": "a wolf", "seed": range(2), "loras": {"a": 0.5}}
    assert set_options(changes) == (
        "steps=10",
        "prompt=a wolf",
        "seed=[0, 1]",
        'loras={"a": 0.5}',
    )


def test_where_options() -> None:
    assert where_options("prompt=wolf") == ("prompt=wolf",)
    kept = {"prompt": "wolf", "steps": ["> 20", "<50"], "variant": "!base", "seed": {7}}
    assert where_options(kept) == (
        "prompt=wolf",
        "steps> 20",
        "steps<50",
        "variant!base",
        "seed=7",
    )


@pytest.mark.parametrize("text", ["no", "1", "a: b # c", "\x85\u2028\ufeff", "käse 🐺"])
def test_texts_stay_texts_in_yaml(text: str) -> None:
    node, findings = read_yaml(as_yaml([text]))
    assert not findings
    assert to_json(node) == [text]


def test_what_json_has_no_word_for() -> None:
    written = as_yaml({"model": PurePosixPath("/a.safetensors"), "steps": range(2)})
    assert written == '{"model": "/a.safetensors", "steps": [0, 1]}'


def test_a_trial_changes_the_batch_and_says_its_notes(folder: Path) -> None:
    file = load_batch_file(None, text=TEXT, base_dir=folder)
    options = TrialOptions.of({"steps": 3}, {"seed": ["> 1"]}, 1, None)
    said: list[str] = []
    trial = tried(file, options, said.append, folder)
    assert trial.batch.settings["steps"] == 3
    assert [axis.count for axis in trial.batch.axes if axis.name == "seed"] == [1]
    assert [f"note: {note}" for note in trial.notes] == [s for s in said if s.startswith("note: ")]


def test_no_option_leaves_the_batch_as_it_is(folder: Path) -> None:
    file = load_batch_file(None, text=TEXT, base_dir=folder)
    assert tried(file, TrialOptions(), print, folder).batch == file.batch


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (TrialOptions(), ""),
        (TrialOptions(model="tiny"), "trial-model-tiny"),
        (TrialOptions(set=("steps=5",), limit=2), "trial-steps-5-limit-2"),
        (TrialOptions(where=("prompt=a wolf",)), "trial-prompt-a-wolf"),
    ],
    ids=["none", "model", "set and limit", "where"],
)
def test_a_trial_has_a_folder_of_its_own(options: TrialOptions, label: str) -> None:
    assert options.label == label


def test_long_trials_that_end_differently_have_two_folders() -> None:
    labels = [TrialOptions(where=(f"prompt={'wolf ' * 30}{n}",)).label for n in (1, 2)]
    assert labels[0] != labels[1]
    assert all(len(label.encode()) < 80 for label in labels)
