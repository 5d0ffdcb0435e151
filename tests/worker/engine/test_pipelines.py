"""Models by reference: folders, checkpoints and the hub; what is no SDXL says so."""

from __future__ import annotations

import errno
import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline

from common.errors import BadInput, HubError
from common.job import TINY_BASE, TINY_REFINER, Job, RefinerUse
from common.store import Store
from tests.support.engine import REFINED, job, put, put_tree, same
from worker.assets import Assets
from worker.engine import Renderer
from worker.engine.pipelines import DTYPES

NOWHERE = f"nobody/nothing@{'0' * 40}"
UNET = "unet/diffusion_pytorch_model.safetensors"


def config_with(file: Path, **changes: Any) -> bytes:
    return json.dumps(json.loads(file.read_bytes()) | changes).encode()


@pytest.fixture(scope="session")
def base_tree(engine_store: Store, tiny_folder: Path) -> str:
    return put_tree(engine_store, tiny_folder / "base")


@pytest.fixture(scope="module")
def fp16_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny SDXL with fp16 files alone."""
    folder = tmp_path_factory.mktemp("fp16")
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_folder / "base", dtype=torch.float16)
    pipe.save_pretrained(folder, variant="fp16")
    return folder


def test_a_folder_draws_what_the_model_draws(
    renderer: Renderer, engine_store: Store, tiny_folder: Path, base_tree: str
) -> None:
    """Base, refiner and VAE by folder; a VAE also as the folder of a whole pipeline."""
    refiner = RefinerUse(model=put_tree(engine_store, tiny_folder / "refiner"))
    vae = put_tree(engine_store, tiny_folder / "base" / "vae")
    expected = renderer.render(job(**REFINED)).image
    for own in (None, vae, base_tree):
        cell = job(model=base_tree, vae=own, **REFINED | {"refiner": refiner})
        assert same(renderer.render(cell).image, expected)


def test_another_vae_is_seen_and_the_own_one_comes_back(
    renderer: Renderer, engine_store: Store, tmp_path: Path, tiny_folder: Path
) -> None:
    vae = AutoencoderKL.from_pretrained(tiny_folder / "base" / "vae")
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(-1)
    vae.save_pretrained(tmp_path)
    other = put_tree(engine_store, tmp_path)
    images = [renderer.render(job(vae=ref)).image for ref in (None, other, None)]
    assert not same(images[0], images[1])
    assert same(images[0], images[2])


def test_fp16_files_are_taken_where_fp16_is_wanted(
    renderer: Renderer, engine_store: Store, fp16_folder: Path
) -> None:
    """Given a folder with fp16 files alone, fp16 renders as from the fp32 files."""
    tree = put_tree(engine_store, fp16_folder)
    expected = renderer.render(job(dtype="fp16")).image
    assert same(renderer.render(job(model=tree, dtype="fp16")).image, expected)


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_fp16_files_are_cast_where_there_are_no_others(
    renderer: Renderer, engine_store: Store, fp16_folder: Path, tmp_path: Path, dtype: str
) -> None:
    """As plain diffusers casts them with variant="fp16"; the folder's VAE alone likewise."""
    cast = StableDiffusionXLPipeline.from_pretrained(
        fp16_folder, variant="fp16", dtype=DTYPES[dtype]
    )
    cast.save_pretrained(tmp_path)
    expected = renderer.render(job(model=put_tree(engine_store, tmp_path), dtype=dtype)).image
    tree = put_tree(engine_store, fp16_folder)
    assert same(renderer.render(job(model=tree, dtype=dtype)).image, expected)
    vae = renderer.render(job(model=tree, dtype=dtype, vae=tree)).image
    assert same(vae, expected)


def test_a_changed_model_drops_the_old_one(
    fresh_renderer: Callable[[], Renderer], base_tree: str
) -> None:
    """Given a refiner that shares the old model's encoder, it does not keep it either."""
    renderer = fresh_renderer()
    renderer.render(job(**REFINED, steps=2))
    pipe = renderer._pipelines.base(job()).pipe
    old = [weakref.ref(part) for part in (pipe.unet, pipe.text_encoder_2, pipe.vae)]
    del pipe
    renderer.render(job(model=base_tree, steps=1))
    gc.collect()
    assert [part() for part in old] == [None, None, None]


BROKEN_BASES: dict[str, tuple[dict[str, bytes | None], str]] = {
    "weights missing": ({UNET: None}, "cannot be loaded"),
    "weights as a pickle": ({UNET: None, "unet/diffusion_pytorch_model.bin": b"\x80"}, "cannot be"),
    "weights cut short": ({UNET: b"\x08\0\0\0\0\0\0\0{}"}, "cannot be loaded"),
    "no index": ({"model_index.json": None}, "model_index.json"),
    "index is no JSON": ({"model_index.json": b"<html>"}, "cannot be loaded"),
    "index is a list": ({"model_index.json": b"[]"}, "cannot be loaded"),
    "foreign code": (
        {
            "model_index.json": b'{"unet": ["evil", "Evil"]}',
            "unet/evil.py": b"raise SystemExit('ran')",
        },
        "foreign part",
    ),
    "no vocabulary": ({"tokenizer/tokenizer.json": None}, "without a vocabulary"),
}


@pytest.mark.parametrize(
    ("error", "is_the_models"),
    [
        (OSError(errno.EIO, "Input/output error"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ImportError("no module named sentencepiece"), False),
        (MemoryError(), False),
        (OSError("Error no file named diffusion_pytorch_model.bin"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "config.json"), True),
        (ValueError("expected shape"), True),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_machines_trouble_is_no_models(
    fresh_renderer: Callable[[], Renderer], monkeypatch: pytest.MonkeyPatch, error: Exception,
    is_the_models: bool,
) -> None:  # fmt: skip
    """A disk that cannot be read, a library that is missing: another machine may load it."""

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(StableDiffusionXLPipeline, "from_pretrained", fails)
    with pytest.raises(BadInput if is_the_models else type(error)) as failed:
        fresh_renderer().prepare(job())
    assert isinstance(failed.value, BadInput) == is_the_models


@pytest.mark.parametrize("fault", BROKEN_BASES)
def test_a_broken_folder_says_why(
    renderer: Renderer, engine_store: Store, tiny_folder: Path, fault: str
) -> None:
    changes, reason = BROKEN_BASES[fault]
    tree = put_tree(engine_store, tiny_folder / "base", changes)
    with pytest.raises(BadInput) as failure:
        renderer.render(job(model=tree))
    assert reason in failure.value.message
    assert tree in failure.value.message
    renderer.render(job(steps=1))


def test_a_model_of_another_family_is_no_sdxl(
    renderer: Renderer, engine_store: Store, tiny_folder: Path
) -> None:
    config = tiny_folder / "base" / "unet" / "config.json"
    tree = put_tree(
        engine_store,
        tiny_folder / "base",
        {"unet/config.json": config_with(config, addition_embed_type=None)},
    )
    with pytest.raises(BadInput, match="is no SDXL"):
        renderer.render(job(model=tree))


def test_base_and_refiner_in_each_others_place(renderer: Renderer) -> None:
    with pytest.raises(BadInput, match="is no SDXL base"):
        renderer.render(job(model=TINY_REFINER))
    with pytest.raises(BadInput, match="is no SDXL refiner"):
        renderer.render(job(**REFINED | {"refiner": RefinerUse(model=TINY_BASE)}))
    renderer.render(job(**REFINED))


def test_a_vae_of_another_kind_is_refused(
    renderer: Renderer, engine_store: Store, tmp_path: Path
) -> None:
    AutoencoderKL(block_out_channels=(4,), norm_num_groups=1).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="is no VAE for SDXL"):
        renderer.render(job(vae=put_tree(engine_store, tmp_path)))


@pytest.mark.parametrize("step", [Renderer.fetch, Renderer.render], ids=["fetch", "render"])
@pytest.mark.parametrize("place", ["model", "vae", "refiner"])
def test_a_hub_that_cannot_be_reached_is_said_to_be(
    renderer: Renderer, place: str, step: Callable[[Renderer, Job], Any]
) -> None:
    """Already when the job is fetched, before it waits for the GPU."""
    wanted = REFINED | {"refiner": RefinerUse(model=NOWHERE)}
    with pytest.raises(HubError) as failure:
        step(renderer, job(**(wanted if place == "refiner" else {place: NOWHERE})))
    assert NOWHERE in failure.value.message
    assert failure.value.hint
    renderer.render(job(steps=1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x02}q\x00.", "is a pickle"),
        (b"PK\x03\x04", "is a zip"),
        (b"<html>", "is a web page"),
        (b"", "is empty"),
    ],
)
def test_a_checkpoint_that_is_no_safetensors_is_refused(
    renderer: Renderer, engine_store: Store, data: bytes, reason: str
) -> None:
    for place in ("model", "vae"):
        with pytest.raises(BadInput, match=reason):
            renderer.render(job(**{place: f"file:{put(engine_store, data)}"}))


def test_an_unknown_revision_of_the_tiny_model(assets: Assets) -> None:
    with pytest.raises(BadInput, match="knows no model 'tiny@99'"):
        assets.model("tiny@99")
