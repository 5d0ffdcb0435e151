"""Every example is rendered, cut down by the options that a person would try it with: on the
tiny model, a few cells each, with a broker, a worker process and a folder as the store."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageStat
from safetensors.numpy import load_file, save_file

from common.batch import Matrix
from common.dispatch import read_batch
from common.picture import decode_meta
from common.store import object_names
from tests.support.tiny_farm import TinyFarm

pytestmark = [pytest.mark.integration, pytest.mark.slow]
on_a_folder = pytest.mark.parametrize("running_farm", ["folder"], indirect=True)

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = "--set size=64x64"
TRIALS = {
    "ablation": f"{SMALL} --set steps=5 --where prompt=wolf",
    "four-steps": f"{SMALL} --where prompt=fox --where seed=1",
    "how-to-refine": f"{SMALL} --set steps=5 --where prompt=owl",
    "lora-strength": f"{SMALL} --set steps=2 --where prompt=corgi --where loras.pixel<1 --limit 3",
    "shapes": f"{SMALL} --set steps=2 --where prompt=glorp --where seed=1",
    "told-size": f"{SMALL} --set steps=2 --where prompt=cat --where original_size=256x256,512x512",
    "when-to-refine": f"{SMALL} --set steps=10 --where prompt=harbour --where seed=11",
    "which-animals": f"{SMALL} --set steps=2 --where animal=pangolin --where seed=1",
    "which-checkpoint": f"{SMALL} --set steps=2 --limit 4",
    "which-negative-prompt": f"{SMALL} --set steps=2 --where prompt=dragon --where seed=1",
    "which-scheduler": f"{SMALL} --where prompt=library --where steps=10 --where guidance_scale=4",
    "which-size": "--set steps=1 --where prompt=dancer --where size=640x1536",
    "wrong-images": f"{SMALL} --set steps=5 --where prompt=bad,missing --where guidance_scale<10",
    "wrong-lora": f"{SMALL} --set steps=5 --where prompt=hamburger",
}
JOBS = {
    "ablation": 4, "four-steps": 4, "how-to-refine": 6, "lora-strength": 3, "shapes": 6,
    "told-size": 6, "when-to-refine": 5, "which-animals": 6, "which-checkpoint": 2,
    "which-negative-prompt": 5, "which-scheduler": 6, "which-size": 1, "wrong-images": 4,
    "wrong-lora": 3,
}  # fmt: skip


def test_every_example_is_tried() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.yaml")}
    assert TRIALS.keys() == JOBS.keys() == names


@on_a_folder
@pytest.mark.parametrize("name", TRIALS)
def test_an_example_is_rendered(name: str, farm: TinyFarm) -> None:
    """Each of its cells has a stored picture, with the Job inside that has the cell's key."""
    file = str(EXAMPLES / f"{name}.yaml")
    order = farm.gridfarm("submit", file, "--model", "tiny", *TRIALS[name].split())
    assert order["jobs"] == JOBS[name]
    farm.wait_until_over(order["batch"])
    for cell in Matrix(read_batch(farm.store, order["batch"])):
        meta = decode_meta(farm.store.get(object_names.picture(cell.key)))
        assert (meta.job, meta.job.key) == (cell.job, cell.key)


@on_a_folder
def test_checkpoints_found_by_a_pattern_are_an_axis(tmp_path: Path, farm: TinyFarm) -> None:
    """Two model folders beside the batch file: uploaded, pinned by content, each drawn with."""
    build(tmp_path / "checkpoints" / "plain")
    build(tmp_path / "checkpoints" / "dark")
    darken(tmp_path / "checkpoints" / "dark")
    (tmp_path / "which.yaml").write_text(
        "prompts: [a wolf]\nseeds: 1..2\naxes: {model: {files: checkpoints/*}}\n"
        "settings: {size: 64x64, steps: 2, dtype: fp32, vae: own}\n"
    )
    order = farm.gridfarm("submit", str(tmp_path / "which.yaml"))
    farm.wait_until_over(order["batch"])
    drawn = {
        (cell.labels["model"], cell.labels["seed"]): farm.store.get(object_names.picture(cell.key))
        for cell in Matrix(read_batch(farm.store, order["batch"]))
    }
    assert list(drawn) == [("dark", "1"), ("plain", "1"), ("dark", "2"), ("plain", "2")]
    brightness = {at: ImageStat.Stat(Image.open(BytesIO(png))).sum[0] for at, png in drawn.items()}
    assert all(brightness["dark", seed] < brightness["plain", seed] for seed in "12")


def build(folder: Path) -> None:
    """The tiny SDXL's base as a model folder of its own."""
    from worker.assets import build as build_tiny

    build_tiny(folder.with_name(f".{folder.name}"))
    (folder.with_name(f".{folder.name}") / "base").rename(folder)


def darken(folder: Path) -> None:
    [weights] = (folder / "vae").glob("*.safetensors")
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"] -= 0.5
    save_file(tensors, weights)
