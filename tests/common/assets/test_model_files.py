"""A model's files in diffusers' layout: which are read, and how a folder is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from common.assets import (
    Part,
    check_model_folder,
    files_in,
    folders_of,
    lacking,
    needed_files,
    variant_of,
)
from common.errors import InputFileError
from common.job import TINY_FOLDER

UNET = "unet/diffusion_pytorch_model.safetensors"
PLAIN = [
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16-00001-of-00001.safetensors",
    "text_encoder/pytorch_model.bin",
    "text_encoder/flax_model.msgpack",
    "tokenizer/merges.txt",
    "other/model.safetensors",
]


@pytest.mark.parametrize(
    ("dtype", "chosen"),
    [
        ("fp16", {4, 6}),
        ("fp32", {2, 3, 5}),
        ("bf16", {2, 3, 5}),
    ],
)
def test_the_weights_of_one_variant_are_needed(dtype: str, chosen: set[int]) -> None:
    """Whole or in shards; settings are needed in any case."""
    needed = needed_files(PLAIN, ["unet", "text_encoder", "tokenizer"], dtype)
    assert set(needed) == {PLAIN[at] for at in chosen | {0, 1, 9}}


def test_where_a_part_has_fp16_files_alone_they_are_read_in_any_dtype() -> None:
    files = [file for file in PLAIN if "-of-00002" not in file]
    for dtype in ("fp16", "fp32", "bf16"):
        assert variant_of(files, ["unet", "text_encoder"], dtype) == "fp16"
        assert PLAIN[4] in needed_files(files, ["unet", "text_encoder"], dtype)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY_FOLDER / "base", tmp_path / "model"))


@pytest.mark.parametrize("part", ["base", "vae"])
def test_a_whole_folder_is_taken(folder: Path, part: Part) -> None:
    """As the model, and as the place of a VAE."""
    for dtype in ("fp16", "fp32"):
        check_model_folder(folder, part, dtype)
    check_model_folder(folder / "vae", "vae", "fp32")


def test_a_refiner_needs_neither_vae_nor_second_encoder(folder: Path) -> None:
    for name in ("vae", "text_encoder_2"):
        shutil.rmtree(folder / name)
    check_model_folder(folder, "refiner", "fp32")
    with pytest.raises(InputFileError, match="its folder text_encoder_2 is missing or empty"):
        check_model_folder(folder, "base", "fp32")


def without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def with_text(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def cut_short(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])


def pickled(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.bin")


def in_pieces(folder: Path) -> None:
    first = "unet/diffusion_pytorch_model-00001-of-00002.safetensors"
    (folder / UNET).rename(folder / first)


def foreign(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_bytes())
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["evil", "Evil"]}))


def of_another_family(folder: Path) -> None:
    config = json.loads((folder / "unet/config.json").read_bytes())
    (folder / "unet/config.json").write_text(json.dumps(config | {"addition_embed_type": None}))


BROKEN = {
    "no index": (without("model_index.json"), "has no model_index.json"),
    "index is a page": (with_text("model_index.json", "<html>"), "model_index.json: is no JSON"),
    "index of something else": (with_text("model_index.json", "{}"), "names no unet"),
    "no weights": (without(UNET), "unet has no weights"),
    "weights cut short": (cut_short, f"{UNET}: is cut short"),
    "weights as a pickle": (pickled, "unet has no weights but the pickle unet/diffusion_pytorch"),
    "a piece is missing": (in_pieces, "model-00002-of-00002.safetensors is missing"),
    "no config": (without("vae/config.json"), "vae/config.json is missing"),
    "config is a page": (with_text("vae/config.json", "<html>"), "vae/config.json: is no JSON"),
    "no scheduler": (without("scheduler/scheduler_config.json"), "its folder scheduler is missing"),
    "no vocabulary": (without("tokenizer/tokenizer.json"), "tokenizer has neither tokenizer.json"),
    "foreign code": (foreign, "names the foreign part unet"),
    "SD 1.5": (of_another_family, "is no SDXL"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_loaded_is_refused_by_its_file(folder: Path, fault: str) -> None:
    breaks, reason = BROKEN[fault]
    breaks(folder)
    with pytest.raises(InputFileError) as refused:
        check_model_folder(folder, "base", "fp32")
    assert reason in refused.value.message
    assert str(folder) in refused.value.message
    assert refused.value.hint


def test_by_names_alone_as_the_hub_lists_them() -> None:
    files = ["model_index.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    assert folders_of("vae", files, {}) == ["vae"]
    assert lacking("vae", files, {}, "fp16") == ""
    assert lacking("vae", ["sdxl_vae.safetensors"], {}, "fp16") == "vae/config.json is missing"


def test_a_folder_of_links_to_folders_is_a_whole_model(folder: Path, tmp_path: Path) -> None:
    """As people share a text encoder among several models."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for entry in folder.iterdir():
        (linked / entry.name).symlink_to(entry)
    assert files_in(linked) == files_in(folder)
    check_model_folder(linked, "base", "fp32")


def test_links_that_lead_round_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").touch()
    (tmp_path / "unet/up").symlink_to(tmp_path)
    (tmp_path / "unet/here").symlink_to(".")
    (tmp_path / "again").symlink_to("unet")
    (tmp_path / "self").symlink_to("self")
    assert files_in(tmp_path) == ["again/config.json", "unet/config.json"]
