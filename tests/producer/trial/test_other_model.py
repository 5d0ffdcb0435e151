"""The tiny model's LoRAs by name: `lora_files: {pastel: tiny-pastel}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.assets import sha256_file
from common.errors import BatchFileError
from common.job import TINY_FOLDER, TINY_LORAS
from producer.language import BatchFile, load_batch_file
from producer.submission import resolve, resolve_offline
from producer.trial import with_model

NAMES = ("glorp", "pastel", "wrong")
FILE = """
model: tiny
prompts: [a red star]
lora_files: {glorp: tiny-glorp, pastel: tiny-pastel, wrong: tiny-wrong}
settings: {loras: {glorp: 1, pastel: 0.5, wrong: 1}}
"""


def load(folder: Path, text: str = FILE) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=folder)


class NoHub:
    """Fails whoever asks it."""

    def lora(self, name: object) -> Any:
        raise AssertionError(f"the hub was asked for {name}")

    commit = lora


def test_a_name_is_the_file_that_comes_with_gridfarm(tmp_path: Path) -> None:
    """Without the hub, offline and at submit; then the file is uploaded like any other."""
    hashes = {name: sha256_file(TINY_FOLDER / f"{name}.safetensors") for name in NAMES}
    assert resolve_offline(load(tmp_path), None).loras == hashes
    resolved = resolve(load(tmp_path), NoHub())  # type: ignore[arg-type]
    assert resolved.batch.loras == hashes
    assert not resolved.batch.unresolved
    assert resolved.assets == {hashes[n]: TINY_FOLDER / f"{n}.safetensors" for n in NAMES}


def test_a_file_of_that_name_is_written_with_a_dot(tmp_path: Path) -> None:
    """As a folder `./tiny` is beside the model `tiny`."""
    glorp, pastel = (TINY_LORAS[name] for name in ("tiny-glorp", "tiny-pastel"))
    (tmp_path / "tiny-pastel").write_bytes(glorp.read_bytes())
    for written, file in {"tiny-pastel": pastel, "./tiny-pastel": glorp}.items():
        text = f"prompts: [a]\nlora_files: {{x: {written}}}\nsettings: {{loras: {{x: 1}}}}"
        found = resolve_offline(load(tmp_path, text), None).loras
        assert found == {"x": sha256_file(file)}


def test_a_name_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BatchFileError) as failure:
        load(tmp_path, FILE.replace("tiny-pastel", "tiny-pastle"))
    [problem] = failure.value.problems
    assert problem.path == "lora_files.pastel"
    assert "tiny-pastel" in problem.hint


def test_a_trial_with_the_tiny_model_leaves_them_alone(tmp_path: Path) -> None:
    """Only what is on the hub is replaced."""
    said: list[str] = []
    before = load(tmp_path, FILE.replace("tiny-wrong", "someone/wrong"))
    after = with_model(before, "tiny", said.append, tmp_path)
    assert after.lora_sources == before.lora_sources | {"wrong": str(TINY_LORAS["tiny-wrong"])}
    assert "--model tiny: the tiny LoRA instead of wrong" in said
