"""Training the tiny SDXL: every stage runs and leaves what the worker loads, and a stage that was
interrupted ends where one that was not does. What it learnt when the weights that ship were made
is seen in those (test_seeing.py); formulas are in test_training_parts.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed

from common.assets import read_header
from common.errors import UsageError
from common.job import TINY_FOLDER
from tests.support.line import LAST, Line, stage_of, train_line
from worker.tiny.train import base, latents, loop, loras, refiner, vae
from worker.tiny.train.__main__ import main


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """This process as the only one that trains."""
    meeting = f"file://{tmp_path / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of each stage, here instead of in processes of their own."""

    def here(work: Callable[..., None], folder: Path, *more: object) -> None:
        work(folder, *more)

    for stage in (vae, base, refiner, loras):
        monkeypatch.setattr(stage, "together", here)
    for stage, steps in ((vae, 3), (base, 2), (refiner, 2)):
        monkeypatch.setattr(stage, "STEPS", steps)
    monkeypatch.setattr(vae, "POOL", 64)
    monkeypatch.setattr(latents, "PART", 32)
    for stage in (base, loras):
        monkeypatch.setattr(stage, "SAMPLES", 64)
    recipes = {name: replace(recipe, steps=2) for name, recipe in loras.LORAS.items()}
    monkeypatch.setattr(loras, "LORAS", recipes)


@pytest.mark.usefixtures("alone")
def test_an_interrupted_stage_ends_where_another_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: weights, their average and both optimizers go on from the checkpoint."""
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    through, broken, resumed = Line(), Line(), Line()
    (tmp_path / "through").mkdir()
    stage_of(through, tmp_path / "through").run(through.loss)

    def until_three(step: int) -> torch.Tensor:
        if step == LAST // 2:
            raise KeyboardInterrupt
        return broken.loss(step)

    with pytest.raises(KeyboardInterrupt):
        stage_of(broken, tmp_path).run(until_three)
    steps: list[int] = []
    stage_of(resumed, tmp_path).run(lambda step: steps.append(step) or resumed.loss(step))
    assert steps == [3, 4, 5]
    for name, weight in through.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_two_processes_train_the_same_weights(tmp_path: Path) -> None:
    """On batches of their own: the gradients are averaged."""
    loop.together(train_line, tmp_path)
    (one, its), (other, others) = (torch.load(tmp_path / f"{rank}.saved") for rank in (0, 1))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    assert not torch.equal(one["inner.weight"], Line().inner.weight)
    assert not torch.equal(its, others)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.saved", "1.saved", "line.pt"
    ]  # fmt: skip


def test_a_folder_with_another_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(UsageError, match="was not trained there"):
        main(tmp_path)


@pytest.mark.usefixtures("alone", "short")
def test_a_training_leaves_what_ships(tmp_path: Path) -> None:
    """File for file and tensor for tensor; and the same command again changes nothing."""
    folder = tmp_path / "made"
    main(folder)
    for shipped in [*TINY_FOLDER.rglob("*.json"), *TINY_FOLDER.rglob("*.safetensors")]:
        made = folder / shipped.relative_to(TINY_FOLDER)
        assert (_parts(made), made) == (_parts(shipped), made)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    main(folder)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def _parts(file: Path) -> object:
    """What a file holds, but for the numbers of tensors."""
    if file.suffix == ".json":
        content = json.loads(file.read_bytes())
        return {name: value for name, value in content.items() if not name.endswith("_version")}
    return sorted((entry.name, entry.shape, entry.dtype) for entry in read_header(file))
