"""The main job through the real thing: the command line, a broker over TCP, a folder or an S3
server with authentication, and two separate worker processes that draw with the tiny SDXL."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
from PIL import Image

from common.batch import Matrix
from common.dispatch import read_batch
from common.job import TINY_FOLDER
from common.store import object_names
from tests.support.tiny_farm import WORKERS, TinyFarm, eventually

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SMALL: dict[str, Any] = {"steps": 4, "size": "64x64"}


def test_a_batch_file_becomes_a_grid(farm: TinyFarm) -> None:
    """submit, watch, grid, fetch and show, with refiner and weighted prompts; then the same
    file again queues nothing, and one seed more renders the new cells only."""
    content: dict[str, Any] = {
        "settings": SMALL | {"high_noise_frac": 0.5},
        "prompts": {"wolf": "a wolf (in the snow)++", "cat": "a cat"},
        "seeds": [1, 2],
        "variants": {"base": {}, "wrong": {"negative_prompt": "wrong"}},
    }
    file = farm.write("first", **content)
    plan = farm.gridfarm("plan", file)
    assert (plan["cells"], plan["jobs"], plan["new"], plan["stored"]) == (8, 8, 8, 0)
    order = farm.gridfarm("submit", file)
    assert (order["batch"], order["queued"], order["stored"]) == (plan["batch"], 8, 0)
    end = farm.gridfarm("watch", order["batch"])
    assert (end["state"], end["done"], end["failed"], end["waiting"]) == ("done", 8, 0, 0)

    sheet = farm.gridfarm("grid", "first", "-o", str(farm.folder / "grid.png"))
    with Image.open(sheet["files"][0]) as image:
        assert image.width > 2 * 64
    fetched = farm.gridfarm("fetch", "@last", str(farm.folder / "pictures"))
    assert (fetched["written"], fetched["missing"]) == (8, 0)
    picture = farm.folder / "pictures" / "wolf" / "s2" / "wrong.png"
    shown = farm.gridfarm("show", str(picture))
    assert shown == {name: farm.gridfarm("show", "first#3")[name] for name in shown}
    assert (shown["job"]["negative_prompt"], shown["job"]["seed"]) == ("wrong", "2")

    again = farm.gridfarm("submit", file)
    assert (again["batch"], again["queued"], again["stored"]) == (order["batch"], 0, 8)
    more = farm.gridfarm("submit", farm.write("first", **content | {"seeds": [1, 2, 3]}))
    assert (more["jobs"], more["queued"], more["stored"]) == (12, 4, 8)
    assert farm.gridfarm("watch", more["batch"])["done"] == 12
    assert (farm.rendered(order["batch"]), farm.rendered(more["batch"])) == (8, 4)


def test_both_workers_work(farm: TinyFarm) -> None:
    """Every stored picture names the process' machine and library versions."""
    eventually(lambda: len(farm.listening()) == WORKERS)
    batch = farm.gridfarm(
        "submit", farm.write("both", prompts=["x"], seeds="0..11", settings=SMALL)
    )
    farm.gridfarm("watch", batch["batch"])
    fingerprint = farm.gridfarm("show", f"{batch['batch']}#0")["fingerprint"]
    assert fingerprint["torch"]


def test_overlapping_batches_render_each_shared_key_once(farm: TinyFarm) -> None:
    """Two batches at once share 6 of their 10 cells each."""
    one = farm.write("overlap-one", prompts=["shared"], seeds="0..9", settings=SMALL)
    two = farm.write("overlap-two", prompts=["shared"], seeds="4..13", settings=SMALL)
    ids = [farm.gridfarm("submit", file)["batch"] for file in (one, two)]
    for batch in ids:
        assert farm.gridfarm("watch", batch)["done"] == 10
    assert sum(map(farm.rendered, ids)) == 14


def test_a_wiped_broker_with_nobody_watching(farm: TinyFarm) -> None:
    """FLUSHALL in the middle of a batch: the workers rebuild it from the store and finish."""
    batch = farm.gridfarm(
        "submit", farm.write("wiped", prompts=["x"], seeds="100..129", settings=SMALL)
    )["batch"]
    jobs = [cell.key for cell in Matrix(read_batch(farm.store, batch))]
    eventually(lambda: farm.rendered(batch) > 0)
    redis.Redis.from_url(farm.broker).flushall()
    farm.wait_until_over(batch)
    assert all(farm.store.exists(object_names.picture(key)) for key in jobs)
    assert farm.gridfarm("status", batch)["state"] == "done"
    assert farm.rendered(batch) - len(jobs) <= 6, "at most what was in hand is rendered again"


def test_a_lora_that_only_the_worker_finds_bad(farm: TinyFarm) -> None:
    """Its cells fail with the reason, the others finish, watch ends with 4, status has it."""
    save_misfit_lora(farm.folder / "misfit.safetensors")
    file = farm.write(
        "misfit",
        settings=SMALL,
        lora_files={"misfit": "misfit.safetensors"},
        prompts=["a wolf"],
        seeds="0..1",
        variants={"base": {}, "bad": {"loras": {"misfit": 1.0}}},
    )
    batch = farm.gridfarm("submit", file)["batch"]
    end = farm.gridfarm("watch", batch, code=4)
    assert (end["state"], end["done"], end["failed"]) == ("done", 2, 2)
    failures = farm.gridfarm("status", batch)["failures"]
    assert [f["labels"]["variant"] for f in failures] == ["bad", "bad"]
    assert all(f["reason"].startswith("LoRA 'misfit': ") for f in failures)
    assert farm.gridfarm("submit", file)["queued"] == 0
    assert farm.gridfarm("grid", batch, "-o", str(farm.folder / "misfit.png"))["files"]


def test_a_model_that_only_the_workers_find_bad(farm: TinyFarm) -> None:
    """All cells that need it fail with one reason, which calls it as the batch file does; the
    others finish. Asked for again it is tried again."""
    save_misfit_model(farm.folder / "misfit-model")
    models = {"bad": "./misfit-model", "good": "tiny"}
    settings = SMALL | {"dtype": "fp32", "vae": "own"}
    file = farm.write("bad-model", settings=settings, prompts=["a wolf"], seeds="0..7",
                      axes={"model": models})  # fmt: skip
    batch = farm.gridfarm("submit", file)["batch"]
    end = farm.gridfarm("watch", batch, code=4)
    assert (end["done"], end["failed"]) == (8, 8)
    [reason] = {failure["reason"] for failure in end["failures"]}
    assert reason.startswith("the model ./misfit-model cannot be loaded: ")
    assert {failure["labels"]["model"] for failure in end["failures"]} == {"bad"}
    farm.gridfarm("retry", batch)
    end = farm.gridfarm("watch", batch, code=4)
    assert (end["done"], end["failed"]) == (8, 8)


def save_misfit_model(folder: Path) -> None:
    """The tiny SDXL with weights of other shapes than its settings say."""
    shutil.copytree(TINY_FOLDER / "base", folder)
    file = folder / "unet" / "config.json"
    config = json.loads(file.read_bytes())
    first, *others = config["block_out_channels"]
    file.write_text(json.dumps(config | {"block_out_channels": [2 * first, *others]}))


def save_misfit_lora(path: Path) -> None:
    """A sound safetensors file with a LoRA's keys, for layers of another width."""
    import numpy as np
    from safetensors.numpy import save_file

    from tests.support.engine import LAYER

    ones = np.ones((4, 4), dtype=np.float32)
    save_file({f"{LAYER}.lora_A.weight": ones, f"{LAYER}.lora_B.weight": ones}, path)


def test_the_farms_pictures_are_the_notebooks(farm: TinyFarm) -> None:
    """Base, negative only, LoRA + negative; two prompts, weighted, with the refiner; the models
    are local folders in the hub's layout, which go up as assets. Bit for bit what plain
    diffusers and compel draw."""
    from tests.support.notebook import BURGER, SIZE, WOLF, notebook
    from worker.assets import build

    build(farm.folder / "tiny")
    file = farm.write(
        "parity",
        model="tiny/base",
        lora_files={"wrong": "tiny/wrong.safetensors"},
        prompts={
            "wolf": {"prompt": WOLF, "seed": 84061037},
            "burger": {"prompt": BURGER, "seed": 5},
        },
        settings={
            "steps": 10, "guidance_scale": 13, "high_noise_frac": 0.8, "dtype": "fp32",
            "size": f"{SIZE['width']}x{SIZE['height']}", "vae": "own",
            "refiner": {"model": "tiny/refiner"},
        },
        variants={
            "base": {},
            "negative": {"negative_prompt": "wrong"},
            "lora": {"negative_prompt": "wrong", "loras": {"wrong": 0.7}},
        },
    )  # fmt: skip
    batch = farm.gridfarm("submit", file)["batch"]
    assert farm.gridfarm("watch", batch)["done"] == 6
    lora = (farm.folder / "tiny" / "wrong.safetensors", 0.7, 1.0)
    for cell in Matrix(read_batch(farm.store, batch)):
        expected = notebook(
            farm.folder / "tiny", cell.job.prompt, cell.job.seed, refined=True,
            negative=cell.job.negative_prompt, lora=lora if cell.job.loras else None,
        )  # fmt: skip
        with Image.open(BytesIO(farm.store.get(object_names.picture(cell.key)))) as stored:
            assert stored.tobytes() == expected.tobytes(), cell.labels
