"""A model in one file: what is no SDXL, or not whole, is told from its header."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.assets import check_checkpoint_file
from common.assets.checkpoint import EDM, SECOND_ENCODER
from common.errors import InputFileError
from tests.support.safetensors_files import build, entry


def file_with(path: Path, *names: str) -> Path:
    tensors = {name: entry("F32", [1], 4 * at, 4 * at + 4) for at, name in enumerate(names)}
    path.write_bytes(build(tensors, bytes(4 * len(names))))
    return path


def test_an_sdxl_is_taken_and_a_vae_or_refiner_may_have_any_weights(tmp_path: Path) -> None:
    check_checkpoint_file(file_with(tmp_path / "a.safetensors", SECOND_ENCODER), "base")
    other = file_with(tmp_path / "b.safetensors", "first_stage_model.x")
    check_checkpoint_file(other, "vae")
    check_checkpoint_file(other, "refiner")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["model.diffusion_model.out.0.bias"], "is no SDXL: it has no conditioner"),
        ([SECOND_ENCODER, EDM], "is a Playground checkpoint"),
    ],
)
def test_what_is_no_sdxl(tmp_path: Path, names: list[str], reason: str) -> None:
    path = file_with(tmp_path / "a.safetensors", *names)
    with pytest.raises(InputFileError, match=reason) as refused:
        check_checkpoint_file(path, "base")
    assert str(path) in refused.value.message and refused.value.hint


@pytest.mark.parametrize("part", ["base", "vae"])
def test_what_is_cut_short(tmp_path: Path, part: str) -> None:
    path = file_with(tmp_path / "a.safetensors", SECOND_ENCODER, "x")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputFileError, match="the model mine: is cut short"):
        check_checkpoint_file(path, part, name="the model mine")  # type: ignore[arg-type]
