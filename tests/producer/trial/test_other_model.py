"""`--model`: another model in every cell, and the tiny model with its LoRAs by name
(`lora_files: {pastel: tiny-pastel}`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.assets import check_lora_file, sha256_file
from common.errors import BatchFileError, UsageError
from common.job import TINY_FOLDER, TINY_LORAS, Crop, Size
from producer.language import BatchFile, load_batch_file
from producer.submission import resolve, resolve_offline
from producer.trial import with_model
from tests.support.trials import cells, load

NAMES = ("glorp", "pastel", "wrong")
FILE = """
model: tiny
prompts: [a red star]
lora_files: {glorp: tiny-glorp, pastel: tiny-pastel, wrong: tiny-wrong}
settings: {loras: {glorp: 1, pastel: 0.5, wrong: 1}}
"""


def load_in(folder: Path, text: str = FILE) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=folder)


class NoHub:
    """Fails whoever asks it."""

    renders_here = False

    def lora(self, name: object) -> Any:
        raise AssertionError(f"the hub was asked for {name}")

    commit = lora


def test_a_name_is_the_file_that_comes_with_gridfarm(tmp_path: Path) -> None:
    """Without the hub, offline and at submit; then the file is uploaded like any other."""
    hashes = {name: sha256_file(TINY_FOLDER / f"{name}.safetensors") for name in NAMES}
    assert resolve_offline(load_in(tmp_path), None).loras == hashes
    resolved = resolve(load_in(tmp_path), NoHub())  # type: ignore[arg-type]
    assert resolved.batch.loras == hashes
    assert not resolved.batch.unresolved
    assert resolved.assets == {hashes[n]: TINY_FOLDER / f"{n}.safetensors" for n in NAMES}


def test_a_file_of_that_name_is_written_with_a_dot(tmp_path: Path) -> None:
    """As a folder `./tiny` is beside the model `tiny`."""
    glorp, pastel = (TINY_LORAS[name] for name in ("tiny-glorp", "tiny-pastel"))
    (tmp_path / "tiny-pastel").write_bytes(glorp.read_bytes())
    for written, file in {"tiny-pastel": pastel, "./tiny-pastel": glorp}.items():
        text = f"prompts: [a]\nlora_files: {{x: {written}}}\nsettings: {{loras: {{x: 1}}}}"
        found = resolve_offline(load_in(tmp_path, text), None).loras
        assert found == {"x": sha256_file(file)}


def test_a_name_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BatchFileError) as failure:
        load_in(tmp_path, FILE.replace("tiny-pastel", "tiny-pastle"))
    [problem] = failure.value.problems
    assert problem.path == "lora_files.pastel"
    assert "tiny-pastel" in problem.hint


def test_a_trial_with_the_tiny_model_leaves_them_alone(tmp_path: Path) -> None:
    """Only what is on the hub is replaced."""
    said: list[str] = []
    before = load_in(tmp_path, FILE.replace("tiny-wrong", "someone/wrong"))
    after = with_model(before, "tiny", said.append, tmp_path)
    assert after.lora_sources == before.lora_sources | {"wrong": str(TINY_LORAS["tiny-wrong"])}
    assert "--model tiny: the tiny LoRA instead of wrong" in said


def test_several_hub_loras_in_one_cell(tmp_path: Path) -> None:
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


def test_sizes_are_an_eighth(tmp_path: Path) -> None:
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


def test_a_file_for_the_tiny_model_stays_as_it_is(tmp_path: Path) -> None:
    """Its sizes were meant."""
    file, said = load("prompts: [a]\nmodel: tiny\nsettings: {size: 512x512}"), []
    assert with_model(file, "tiny", said.append, tmp_path) == file
    assert not [line for line in said if "size" in line]


def test_without_a_size_nothing_is_said_of_it(tmp_path: Path) -> None:
    said: list[str] = []
    [cell] = cells(with_model(load("prompts: [a]"), "tiny", said.append, tmp_path).batch)
    assert (cell.job.width, cell.job.height) == (128, 128)
    assert not [line for line in said if "size" in line]


@pytest.mark.parametrize("model", ["SDXL", "sdlx", "mine.ckpt", "no model"])
def test_a_model_that_is_none(model: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--model"):
        with_model(load(), model, print, tmp_path)
