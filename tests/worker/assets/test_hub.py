"""Models of the hub: what is downloaded, that it is told, and that once is enough.

The hub is a server on this machine; the client is huggingface_hub itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from huggingface_hub import constants

from common.errors import BadInput, HubError
from common.job import ModelRef, RefinerUse
from common.store import Store
from tests.support.engine import REFINED, Told, job, same
from tests.support.hub_server import Files, Hub, connected, files_of
from worker.assets import Assets, Downloads, DownloadStopped
from worker.assets.hub import download
from worker.engine import Renderer

COMMIT = "c" * 40
MODEL = f"someone/model@{COMMIT}"
REFINER = f"someone/refiner@{COMMIT}"
VAE = f"someone/vae@{COMMIT}"
UNET = "unet/diffusion_pytorch_model.safetensors"
UNET_FP16 = "unet/diffusion_pytorch_model.fp16.safetensors"
CLUTTER: Files = {
    "README.md": b"# a model",
    "model.safetensors.png": b"a picture",
    "sd_xl_base_1.0.safetensors": b"the checkpoint",
    "unet/diffusion_pytorch_model.bin": b"\x80",
    "unet/model.onnx": b"onnx",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"another variant",
    "vae_1_0/diffusion_pytorch_model.safetensors": b"another VAE",
    "vae_1_0/config.json": b"{}",
}


@pytest.fixture(scope="module")
def model_files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The tiny SDXL as SDXL is published: plain and fp16 weights, the VAE's plain alone."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    shutil.copytree(tiny_folder / "base", folder)
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_folder / "base", dtype=torch.float16)
    pipe.save_pretrained(folder, variant="fp16")
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    return files_of(folder) | CLUTTER


@pytest.fixture
def hub(
    model_files: Files, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub with three repositories, and an empty cache for what comes from it."""
    vae = files_of(tiny_folder / "base" / "vae") | {"sdxl_vae.safetensors": b"the same again"}
    repositories = {MODEL: model_files, REFINER: files_of(tiny_folder / "refiner"), VAE: vae}
    with connected(repositories, tmp_path / "hub-cache", monkeypatch) as hub:
        yield hub


def weights(hub: Hub) -> set[str]:
    return {file for file in hub.sent if not file.endswith((".json", ".txt"))}


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_a_model_is_downloaded_as_diffusers_would_and_no_more(
    hub: Hub, tmp_path: Path, dtype: str
) -> None:
    download(ModelRef(MODEL), "base", dtype, Downloads())
    sent = weights(hub)
    assert UNET_FP16 in sent if dtype == "fp16" else UNET in sent
    assert len({file for file in sent if file.startswith("unet/")}) == 1

    hub.sent.clear()
    StableDiffusionXLPipeline.download(
        "someone/model",
        revision=COMMIT,
        cache_dir=tmp_path / "another-cache",
        use_safetensors=True,
        variant="fp16" if dtype == "fp16" else None,
    )
    assert sent == weights(hub) - set(CLUTTER)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_what_was_downloaded_draws_what_the_folder_draws(
    hub: Hub, engine_store: Store, session_cache: Path, renderer: Renderer, dtype: str
) -> None:
    """Base, refiner and VAE; what the refiner shares with the base is not downloaded for it."""
    expected = renderer.render(job(dtype=dtype, **REFINED)).image
    fresh = Renderer(Assets(engine_store, session_cache), device="cpu", cpu_threads=1)
    own = {"refiner": RefinerUse(model=REFINER)}
    cell = job(model=MODEL, vae=VAE, dtype=dtype, **REFINED | own)
    fresh.fetch(cell)
    sent = list(hub.sent)
    assert "sdxl_vae.safetensors" not in sent
    assert sent.count(UNET) == (1 if dtype == "fp16" else 2)
    assert len([file for file in sent if file.startswith("text_encoder_2/model")]) == 1
    assert same(fresh.render(cell).image, expected)
    assert hub.sent == sent


def test_a_commit_that_was_downloaded_needs_no_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a single request; a part that was not asked for before is then missing."""
    first = download(ModelRef(MODEL), "base", "fp32", Downloads())
    requests = hub.requests
    assert download(ModelRef(MODEL), "base", "fp32", Downloads()) == first
    assert hub.requests == requests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(ModelRef(MODEL), "base", "fp32", Downloads()) == first
    with pytest.raises(HubError, match=f"the model {MODEL} cannot be loaded from the hub"):
        download(ModelRef(MODEL), "base", "fp16", Downloads())


def test_a_vae_may_be_a_part_of_a_model(hub: Hub) -> None:
    folder = download(ModelRef(MODEL), "vae", "fp32", Downloads())
    assert weights(hub) == {"vae/diffusion_pytorch_model.safetensors"}
    AutoencoderKL.from_pretrained(folder, subfolder="vae")


@pytest.fixture
def big(hub: Hub, model_files: Files, monkeypatch: pytest.MonkeyPatch) -> ModelRef:
    """A model of 6 MB that comes in pieces of 64 KiB."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    other = ("unet/diffusion", ".fp16.")
    rest = {f: data for f, data in model_files.items() if not any(part in f for part in other)}
    rest |= {UNET: b"\0" * (6_000_000 - sum(map(len, rest.values())))}
    hub.repositories[MODEL] = rest
    return ModelRef(MODEL)


def test_each_piece_is_told(big: ModelRef) -> None:
    """With the name and how much there is, until it is there."""
    downloads = Told()
    download(big, "base", "fp32", downloads)
    assert downloads.told[-1] == "someone/model, 6 of 6 MB"
    assert {f"someone/model, {done} of 6 MB" for done in range(1, 7)} <= set(downloads.told)
    assert str(downloads) == ""


class Impatient(Told):
    """Ends at half of the 6 MB."""

    def __str__(self) -> str:
        said = super().__str__()
        if said.startswith("someone/model, 3 "):
            self.stop()
        return said


def test_a_download_can_be_stopped_and_done_again(hub: Hub, big: ModelRef) -> None:
    """Told to hand back its work, a worker does not wait for gigabytes; whole files stay."""
    with pytest.raises(DownloadStopped):
        download(big, "base", "fp32", Impatient())
    before = len(hub.sent)
    folder = download(big, "base", "fp32", Downloads())
    assert (folder / UNET).read_bytes() == hub.repositories[MODEL][UNET]
    assert UNET in hub.sent[before:]
    assert "model_index.json" not in hub.sent[before:]


@pytest.mark.usefixtures("hub")
def test_a_cache_that_cannot_be_written_is_not_the_networks_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file lies where the cache's folder is to be."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(HubError, match=r"cannot be kept in .*: Not a directory") as told:
        download(ModelRef(MODEL), "base", "fp32", Downloads())
    assert "HF_HOME" in told.value.hint
    assert "network" not in told.value.hint


def test_a_model_whose_licence_was_not_accepted_says_so(hub: Hub) -> None:
    """The list of its files is public, the files are not."""
    hub.gated = True
    with pytest.raises(HubError, match=f"the model {MODEL} cannot be loaded from the hub") as found:
        download(ModelRef(MODEL), "base", "fp32", Downloads())
    assert "HF_TOKEN if the model is gated" in found.value.hint


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"sd_xl.safetensors": b"x"}, "has no usable model_index.json"),
        ({"model_index.json": b"<html>"}, "has no usable model_index.json"),
        ({"model_index.json": b"[]"}, "has no usable model_index.json"),
    ],
    ids=["a checkpoint alone", "no JSON", "a list"],
)
def test_a_repository_without_a_model_is_the_cells_fault(
    hub: Hub, files: Files, reason: str
) -> None:
    hub.repositories[MODEL] = files
    with pytest.raises(BadInput) as failure:
        download(ModelRef(MODEL), "base", "fp32", Downloads())
    assert reason in failure.value.message
    assert "download the .safetensors and name the local file" in failure.value.hint


@pytest.mark.parametrize(
    ("total", "done", "said"),
    [
        (6_938_000_000, 3_210_000_000, "x, 3.2 of 6.9 GB"),
        (335_000_000, 12_400_000, "x, 12 of 335 MB"),
        (335_000_000, 400_000_000, "x, 335 of 335 MB"),
        (4_000, 10, "x"),
    ],
)
def test_how_much_is_said_in_words(total: int, done: int, said: str) -> None:
    downloads = Downloads()
    with downloads.follow("x", total) as count:
        count(done)
        assert str(downloads) == said
    assert str(downloads) == ""


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        (MODEL, "someone/model"),
        ("tiny@3", "tiny"),
        (f"tree:{'ab' * 32}", "model folder abababababab"),
        (f"file:{'ab' * 32}", "checkpoint abababababab"),
    ],
)
def test_a_model_is_called_by_its_name(ref: str, name: str) -> None:
    assert ModelRef(ref).short_name == name
