"""SDXL in one file, as people publish it: the same picture as from the folder.

Settings and tokenizers come from a hub on this machine under the names that the worker asks for.
The model is the tiny SDXL with a wider second text encoder, as in SDXL itself: diffusers tells
the two apart by their width.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModelWithProjection

from common.errors import BadInput, HubError
from common.job import BUILTIN_MODELS, RefinerUse
from common.store import Store
from tests.support import ldm_layout
from tests.support.engine import (
    REFINED,
    TEXT_WIDTH,
    Tensors,
    file_of,
    job,
    pixels,
    put,
    put_tree,
    same,
    setting,
)
from tests.support.hub_server import Hub, connected, files_of
from worker.assets import Assets
from worker.engine import Renderer

SECOND_WIDTH = 96
TIME_IDS = 6 * setting("unet", "addition_time_embed_dim")


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Any:
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_folder / "base", dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = pipe.text_encoder_2.config
        config.hidden_size = config.projection_dim = SECOND_WIDTH
        second = CLIPTextModelWithProjection(config).eval()
        unet = UNet2DConditionModel.from_config(
            pipe.unet.config,
            cross_attention_dim=TEXT_WIDTH + SECOND_WIDTH,
            projection_class_embeddings_input_dim=SECOND_WIDTH + TIME_IDS,
        ).eval()
    pipe.register_modules(text_encoder_2=second, unet=unet)
    return pipe


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    return path


@pytest.fixture
def hub(
    folder: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    repositories = {
        BUILTIN_MODELS["sdxl"]: files_of(folder),
        BUILTIN_MODELS["sdxl-refiner"]: files_of(tiny_folder / "refiner"),
    }
    with connected(repositories, tmp_path / "hub-cache", monkeypatch) as hub:
        yield hub


@pytest.fixture
def fresh(engine_store: Store, tmp_path: Path, session_cache: Path) -> Renderer:
    from worker.assets.tiny_model import cached

    assets = Assets(engine_store, tmp_path / "cache", build_tiny=lambda _: cached(session_cache))
    return Renderer(assets, device="cpu", cpu_threads=1)


@pytest.mark.parametrize(("dtype", "steps"), [("fp16", 0), ("fp32", 1)])
def test_a_checkpoint_draws_what_the_folder_draws(
    fresh: Renderer, hub: Hub, engine_store: Store, model: Any, folder: Path, dtype: str, steps: int
) -> None:
    """With nothing but settings and tokenizers from the hub, and these before the render.

    Bit for bit where the weights are cast. In fp32 they are used where they lie in the file,
    and where a matrix begins decides how torch's kernels add: a few values are off by one step.
    """
    sha256 = put(engine_store, file_of(ldm_layout.checkpoint(model)))
    expected = fresh.render(job(model=put_tree(engine_store, folder), dtype=dtype)).image
    cell = job(model=f"file:{sha256}", dtype=dtype)
    fresh.fetch(cell)
    sent = list(hub.sent)
    assert "tokenizer_2/tokenizer.json" in sent
    assert not [file for file in sent if file.endswith(".safetensors")]
    assert np.abs(pixels(fresh.render(cell).image) - pixels(expected)).max() <= steps
    assert hub.sent == sent


def test_a_vae_in_one_file_is_scaled_as_sdxls(
    fresh: Renderer, hub: Hub, engine_store: Store, tiny_folder: Path
) -> None:
    """With the names of the original, with or without prefix, with diffusers' own, and as part
    of a whole model. Left alone diffusers takes a VAE's settings from SD 1.5."""
    assert hub
    expected = fresh.render(job(dtype="fp16")).image
    own = load_file(tiny_folder / "base" / "vae" / "diffusion_pytorch_model.safetensors")
    named = ldm_layout.vae(own)
    bare = {name.removeprefix("first_stage_model."): weight for name, weight in named.items()}
    whole = named | {"model.diffusion_model.out.0.bias": torch.zeros(4)}
    for tensors in (named, bare, own, whole):
        vae = f"file:{put(engine_store, file_of(tensors))}"
        assert same(fresh.render(job(dtype="fp16", vae=vae)).image, expected)


def test_a_refiner_in_one_file(
    fresh: Renderer, hub: Hub, engine_store: Store, tiny_folder: Path
) -> None:
    """Its encoder and VAE are the base's, so a file with the UNet alone is enough."""
    assert hub
    expected = fresh.render(job(dtype="fp16", **REFINED)).image
    unet = UNet2DConditionModel.from_pretrained(tiny_folder / "refiner" / "unet")
    sha256 = put(engine_store, file_of(ldm_layout.unet(unet)))
    own = {"refiner": RefinerUse(model=f"file:{sha256}")}
    assert same(fresh.render(job(dtype="fp16", **REFINED | own)).image, expected)


def test_without_the_hub_the_settings_are_what_is_missing(
    renderer: Renderer, engine_store: Store
) -> None:
    """And it is said before the job waits for the GPU."""
    names = ["conditioner.embedders.1.model.positional_embedding"]
    sha256 = put(engine_store, file_of({name: torch.zeros(4) for name in names}))
    sdxl = BUILTIN_MODELS["sdxl"]
    with pytest.raises(HubError, match=f"the model {sdxl} cannot be loaded from the hub"):
        renderer.fetch(job(model=f"file:{sha256}"))


NO_BASE: dict[str, tuple[Tensors, str]] = {
    "another model": ({"model.diffusion_model.out.0.bias": torch.zeros(4)}, "is no SDXL"),
    "Playground": (
        {
            "conditioner.embedders.1.model.positional_embedding": torch.zeros(4),
            "edm_mean": torch.zeros(4),
        },
        "is a Playground checkpoint",
    ),
}


@pytest.mark.parametrize("kind", NO_BASE)
def test_what_is_no_sdxl_is_known_from_its_names(
    renderer: Renderer, engine_store: Store, kind: str
) -> None:
    """Without asking a hub."""
    tensors, reason = NO_BASE[kind]
    ref = f"file:{put(engine_store, file_of(tensors))}"
    with pytest.raises(BadInput, match=f"the model {ref} {reason}"):
        renderer.fetch(job(model=ref))


def test_a_checkpoint_without_a_part_says_so(
    fresh: Renderer, hub: Hub, engine_store: Store, model: Any
) -> None:
    assert hub
    tensors = {
        name: weight
        for name, weight in ldm_layout.checkpoint(model).items()
        if not name.startswith("model.diffusion_model.output_blocks")
    }
    with pytest.raises(BadInput, match="it lacks some of the weights"):
        fresh.render(job(model=f"file:{put(engine_store, file_of(tensors))}"))
    fresh.render(job(steps=1))
