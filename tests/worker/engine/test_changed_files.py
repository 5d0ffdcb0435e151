"""A model that is read where it lies and changes meanwhile: no picture comes of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.assets import FileHashes
from common.errors import BadInput
from common.job import TINY_BASE, Job
from common.store import open_store
from tests.support.engine import job, put, same
from worker.assets import Assets, FileChanged
from worker.engine import Renderer


@pytest.fixture
def model(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder / "base", tmp_path / "model"))


@pytest.fixture
def weights(model: Path) -> Path:
    return model / "unet" / "diffusion_pytorch_model.safetensors"


@pytest.fixture
def of_model(model: Path, tmp_path: Path) -> Job:
    """A job whose model only lies on this machine; the store has its manifest."""
    hashes = FileHashes(tmp_path / "cache")
    files = {
        path.relative_to(model).as_posix(): hashes.sha256(path)
        for path in sorted(model.rglob("*"))
        if path.is_file()
    }
    hashes.save()
    manifest = json.dumps({"files": files}).encode()
    return job(model=f"tree:{put(open_store(str(tmp_path / 'store')), manifest)}")


@pytest.fixture
def here(tmp_path: Path) -> Renderer:
    """The renderer of a local render."""
    assets = Assets(open_store(str(tmp_path / "store")), tmp_path / "cache")
    return Renderer(assets, device="cpu", cpu_threads=1)


def write_over(weights: Path) -> None:
    """In place and of the same size, as a training that goes on."""
    with weights.open("r+b") as file:
        file.seek(-(weights.stat().st_size // 2), os.SEEK_END)
        file.write(bytes(10_000))


def test_its_picture_is_that_of_the_copied_model(
    here: Renderer, of_model: Job, renderer: Renderer
) -> None:
    assert same(here.render(of_model).image, renderer.render(job(model=TINY_BASE)).image)


@pytest.mark.parametrize("change", [write_over, Path.unlink], ids=["written over", "deleted"])
def test_a_picture_of_a_file_that_changes_meanwhile_is_thrown_away(
    here: Renderer, of_model: Job, weights: Path, change: Callable[[Path], None]
) -> None:
    """And then the file that is there now is refused, however often it is tried."""

    def on_step(done: int, total: int) -> None:
        if done == total:
            change(weights)

    with pytest.raises(FileChanged, match="was changed while it was read"):
        here.render(of_model, on_step)
    for _ in range(2):
        with pytest.raises(BadInput, match=f"{weights.name} was changed or is gone"):
            here.render(of_model)


def test_between_two_pictures(here: Renderer, of_model: Job, weights: Path) -> None:
    """What was loaded, or encoded, before the change is not used any more."""
    expected = here.render(of_model).image
    whole = weights.read_bytes()
    write_over(weights)
    with pytest.raises(BadInput, match="was changed"):
        here.render(of_model)
    assert hashlib.sha256(whole).hexdigest() != hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.write_bytes(whole)
    hashes = FileHashes(here._assets.cache_dir)
    hashes.sha256(weights)
    hashes.save()
    assert same(here.render(of_model).image, expected)


def test_a_model_that_is_cut_off_while_it_is_loaded(
    here: Renderer, of_model: Job, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of a bad model: it is tried again, which says what happened."""
    find = Assets.model

    def found_then_cut(*arguments: object) -> Path:
        path = find(*arguments)  # type: ignore[arg-type]
        weights.write_bytes(b"half")
        return path

    with monkeypatch.context() as cut, pytest.raises(FileChanged):
        cut.setattr(Assets, "model", found_then_cut)
        here.prepare(of_model)
    with pytest.raises(BadInput, match="was changed or is gone"):
        here.prepare(of_model)
