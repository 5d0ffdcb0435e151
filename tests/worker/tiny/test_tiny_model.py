"""The tiny SDXL: what is shipped, what is made of it, and that each setting reaches the picture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from transformers import CLIPTokenizer

from common.assets import check_lora_file, read_header
from common.job import TINY_BASE, TINY_FOLDER, TINY_LORAS
from common.store import Store
from tests.support.engine import REFINED, distance, job, put, same, use
from worker.assets import tiny_model
from worker.cli import main
from worker.engine import Renderer

ROOT = Path(__file__).parents[3]
REVISION = ("tiny@3", "a38f750fe8742122")
CARD = ("README.md", "sheet.png")
FROM_THE_BASE = {
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    "tokenizer_2/tokenizer.json",
    "tokenizer_2/tokenizer_config.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_wheel_takes_every_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["common"]
    taken = {path for pattern in patterns for path in (ROOT / "common").glob(pattern)}
    assert {path for path in TINY_FOLDER.rglob("*") if path.is_file()} <= taken


def test_what_is_shipped_is_small_and_in_half_precision() -> None:
    files = [path for path in TINY_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".png"}
    for path in TINY_FOLDER.rglob("*.safetensors"):
        weights = [entry for entry in read_header(path) if not entry.name.endswith(".alpha")]
        assert {entry.dtype for entry in weights} == {"F16"}, path


def test_no_weights_are_shipped_twice() -> None:
    weights = [digest for name, digest in digests(TINY_FOLDER).items() if "safetensors" in name]
    assert len(weights) == len(set(weights))


def test_no_setting_names_a_folder_of_the_machine_that_trained_it() -> None:
    """diffusers writes down where it loaded a part from."""
    for path in TINY_FOLDER.rglob("*.json"):
        assert not json.loads(path.read_bytes()).get("_name_or_path"), path


@pytest.mark.parametrize("name", TINY_LORAS)
def test_its_loras_are_loras(name: str) -> None:
    check_lora_file(TINY_LORAS[name])


def test_a_build_is_what_is_shipped_in_the_hubs_layout(tmp_path: Path) -> None:
    """Byte for byte, and nothing but the refiner's share of the base comes on top."""
    tiny_model.build(tmp_path)
    shipped, built = digests(TINY_FOLDER), digests(tmp_path)
    assert shipped.items() <= built.items()
    assert built.keys() - shipped.keys() == {f"refiner/{name}" for name in FROM_THE_BASE}
    for component in ("unet", "vae"):
        assert f"base/{component}/diffusion_pytorch_model.safetensors" in built
    index = json.loads((tmp_path / "base" / "model_index.json").read_bytes())
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    assert index["force_zeros_for_empty_prompt"] is True
    index = json.loads((tmp_path / "refiner" / "model_index.json").read_bytes())
    assert index["requires_aesthetics_score"] is True
    assert index["force_zeros_for_empty_prompt"] is False
    assert index["text_encoder"] == [None, None]


def test_a_build_leaves_a_training_alone(tmp_path: Path) -> None:
    (tmp_path / "vae.pt").touch()
    result = CliRunner().invoke(main, ["build-tiny", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "holds a training\n  give another folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["vae.pt"]


def test_a_build_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "tiny"
    result = CliRunner().invoke(main, ["build-tiny", str(folder)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {folder}: Not a directory\n"


def test_base_and_refiner_share_encoder_and_vae(tiny_folder: Path) -> None:
    base, refiner = digests(tiny_folder / "base"), digests(tiny_folder / "refiner")
    assert {name for name in base if base[name] == refiner.get(name)} >= FROM_THE_BASE


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
    assert first.tokenize("a red circle") == ["a</w>", "red</w>", "circle</w>"]


def test_processes_that_write_at_once_agree(tmp_path: Path) -> None:
    """Given four processes with one empty cache, each gets the whole model and nothing else
    is left over."""
    code = f"""
from pathlib import Path
from worker.assets.tiny_model import cached
assert (cached(Path({str(tmp_path)!r})) / "refiner" / "vae" / "config.json").is_file()
"""
    writers = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == [TINY_BASE]


PROMPT = "a large red star on a blue background"
CHANGES = {
    "prompt": {"prompt": "a small green circle on a yellow background"},
    "weight": {"prompt": "a large red star on a (blue)---- background"},
    "seed": {"seed": 2},
    "negative": {"negative_prompt": "wrong"},
    "empty negative": {"negative_prompt": ""},
    "guidance": {"guidance_scale": 13.0},
    "steps": {"steps": 5},
    "refiner": REFINED,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_is_seen(renderer: Renderer, change: str) -> None:
    plain = {"prompt": PROMPT, "width": 128, "height": 128, "steps": 10}
    before = renderer.render(job(**plain)).image
    assert distance(before, renderer.render(job(**plain | CHANGES[change])).image) > 0.3


LORA_PROMPTS = {"tiny-glorp": "a glorp", "tiny-pastel": PROMPT, "tiny-wrong": f"{PROMPT}, wrong"}


@pytest.mark.parametrize("name", TINY_LORAS)
def test_a_lora_is_seen_and_scales(renderer: Renderer, engine_store: Store, name: str) -> None:
    lora = put(engine_store, TINY_LORAS[name].read_bytes())
    plain = {"prompt": LORA_PROMPTS[name], "width": 128, "height": 128, "steps": 10}
    images = [
        renderer.render(job(**plain, loras=(use(lora, scale),) if scale else ())).image
        for scale in (0, 0.5, 1.0)
    ]
    assert distance(images[0], images[2]) > 2
    assert not same(images[0], images[1])
    assert not same(images[1], images[2])


def test_a_lora_is_the_same_in_both_layouts(renderer: Renderer, engine_store: Store) -> None:
    """Bit for bit: diffusers' and Kohya's."""
    files = (TINY_FOLDER / f"{name}.safetensors" for name in ("glorp", "glorp-kohya"))
    loras = [put(engine_store, path.read_bytes()) for path in files]
    assert len(set(loras)) == 2
    assert same(*(renderer.render(job(prompt="a glorp", loras=(use(x),))).image for x in loras))


def test_the_revision_is_that_of_these_weights() -> None:
    """Pictures are stored under the revision: other weights need another one (common/job)."""
    shipped = {name: of for name, of in digests(TINY_FOLDER).items() if not name.startswith(CARD)}
    digest = hashlib.sha256(json.dumps(shipped, sort_keys=True).encode()).hexdigest()
    assert (TINY_BASE, digest[:16]) == REVISION
