"""The tiny SDXL: the same on every machine, real classes, and pictures that tell cells apart."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from transformers import CLIPTokenizer

from common.safetensors_file import TINY_LORA, check_lora_file
from tests.worker.engine import REFINED, distance, job, pixels, same, use
from worker import tiny
from worker.render import Renderer


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_every_build_writes_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    """Whatever the global random state; and the build leaves that state alone."""
    torch.manual_seed(7)
    before = torch.get_rng_state()
    tiny.build(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert digests(tmp_path) == digests(tiny_folder)


def test_the_folders_are_laid_out_as_on_the_hub(tiny_folder: Path) -> None:
    index = json.loads((tiny_folder / "base" / "model_index.json").read_bytes())
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    assert index["force_zeros_for_empty_prompt"] is True
    for component in ("unet", "vae"):
        part = tiny_folder / "base" / component
        assert (part / "diffusion_pytorch_model.safetensors").is_file()
    index = json.loads((tiny_folder / "refiner" / "model_index.json").read_bytes())
    assert index["requires_aesthetics_score"] is True
    assert index["force_zeros_for_empty_prompt"] is False
    assert index["text_encoder"] == [None, None]


def test_base_and_refiner_share_encoder_and_vae(tiny_folder: Path) -> None:
    base, refiner = digests(tiny_folder / "base"), digests(tiny_folder / "refiner")
    for file in (
        "text_encoder_2/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "tokenizer_2/tokenizer.json",
    ):
        assert base[file] == refiner[file]


def test_the_lora_in_common_is_the_one_that_is_made_here(tiny_folder: Path) -> None:
    made, kept = load(tiny.lora_bytes()), load(TINY_LORA.read_bytes())
    assert made.keys() == kept.keys()
    assert all(torch.equal(made[name], kept[name]) for name in made)
    assert tiny.lora_bytes() == (tiny_folder / "wrong.safetensors").read_bytes()
    assert TINY_LORA.stat().st_size < 200_000
    check_lora_file(TINY_LORA)


@pytest.mark.parametrize(
    "text", ["A wolf, chilly (film)++", "狼と森", "волк в лесу", "🐺🏽‍🔥", "ذئب", "\x00\t"]
)
def test_any_text_in_any_script_has_tokens(tiny_folder: Path, text: str) -> None:
    """The bytes are in the vocabulary, so nothing becomes the unknown token."""
    tokenizer = CLIPTokenizer.from_pretrained(tiny_folder / "base" / "tokenizer")
    tokens = tokenizer(text)["input_ids"][1:-1]
    assert tokens or not text.strip()
    assert tokenizer.unk_token_id not in tokens


def test_the_tokenizers_pad_as_sdxls_do(tiny_folder: Path) -> None:
    first, second = (
        CLIPTokenizer.from_pretrained(tiny_folder / "base" / name)
        for name in ("tokenizer", "tokenizer_2")
    )
    assert (first.pad_token, second.pad_token) == ("<|endoftext|>", "!")
    assert first.model_max_length == second.model_max_length == 77
    assert first.tokenize("a wolf") == ["a</w>", "wolf</w>"]


@pytest.mark.slow
def test_processes_that_build_at_once_agree(tmp_path: Path) -> None:
    """Given two processes with one empty cache, each gets the whole model and nothing else
    is left over."""
    code = f"""
from pathlib import Path
from worker.tiny import cached
assert (cached(Path({str(tmp_path)!r})) / "wrong.safetensors").is_file()
"""
    builders = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [builder.wait() for builder in builders] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny@1"]


def test_pictures_are_neither_flat_nor_grey(renderer: Renderer) -> None:
    image = pixels(renderer.render(job(width=256, height=256, steps=20)).image)
    assert image.std(axis=(0, 1)).max() > 25
    assert np.abs(image[..., 0] - image[..., 2]).mean() > 10


CHANGES = {
    "prompt": {"prompt": "a delicious hamburger"},
    "weight": {"prompt": "a (wolf)++++ in the forest"},
    "seed": {"seed": 2},
    "negative": {"negative_prompt": "wrong"},
    "empty negative": {"negative_prompt": ""},
    "guidance": {"guidance_scale": 13.0},
    "steps": {"steps": 12},
    "refiner": REFINED,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_is_seen(renderer: Renderer, change: str) -> None:
    before = renderer.render(job(steps=10)).image
    assert distance(before, renderer.render(job(**{"steps": 10} | CHANGES[change])).image) > 1


def test_the_lora_is_seen_and_scales(renderer: Renderer, wrong: str) -> None:
    images = [
        renderer.render(job(loras=(use(wrong, scale),) if scale else ())).image
        for scale in (0, 0.5, 1.0)
    ]
    assert distance(images[0], images[2]) > 5
    assert not same(images[0], images[1])
    assert not same(images[1], images[2])
