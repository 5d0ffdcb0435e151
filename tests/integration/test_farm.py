"""The main job through the real thing: the command line, a broker over TCP, a folder or an S3
server with authentication, and two separate worker processes that draw with the tiny SDXL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from PIL import Image

from common.batch import Matrix
from common.dispatch import read_batch
from common.store import Store, object_names, open_store
from tests.support.servers import ministack, valkey

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SMALL: dict[str, Any] = {"steps": 4, "size": "64x64"}


@dataclass
class Farm:
    """Servers and two workers; `gridfarm` runs the command line against them."""

    broker: str
    store_url: str
    environment: dict[str, str]
    log: Path
    folder: Path

    def gridfarm(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json; what it prints, line by line, when it ends with `code`."""
        command = [sys.executable, "-m", "producer.cli.main", *arguments, "--json"]
        answer = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=self.folder,
        )
        assert answer.returncode == code, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
        lines = [json.loads(line) for line in answer.stdout.splitlines()]
        return lines[-1] if lines else None

    def write(self, name: str, **content: Any) -> str:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "model": "tiny", **content}, sort_keys=False))
        return str(path)

    def renders(self) -> Counter[str]:
        """`<batch> #<i>` → how often a worker rendered it."""
        lines = self.log.read_text().splitlines()
        return Counter(" ".join(line.split()[1:3]) for line in lines if " rendered in " in line)

    @property
    def store(self) -> Store:
        return open_store(self.store_url)


@pytest.fixture(scope="module", params=["folder", "s3"])
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
         session_cache: Path) -> Iterator[Farm]:  # fmt: skip
    """Two worker processes on one broker and one store, for all tests of this file."""
    folder = tmp_path_factory.mktemp("farm")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "GRIDFARM_"))}
    environment |= {"GRIDFARM_CACHE": str(session_cache), "PYTHONPATH": str(Path.cwd())}
    environment |= {"GRIDFARM_CLOUD": "none"}
    with valkey(folder / "broker") as server:
        environment["GRIDFARM_BROKER"] = server.url
        if request.param == "folder":
            environment["GRIDFARM_STORE"] = str(folder / "store")
            yield from _with_workers(folder, environment)
        else:
            with ministack(folder / "s3") as s3:
                environment |= s3.environment
                environment["GRIDFARM_STORE"] = f"s3://{s3.bucket}/farm"
                with pytest.MonkeyPatch.context() as patch:
                    for name, value in s3.environment.items():
                        patch.setenv(name, value)
                    yield from _with_workers(folder, environment)


def _with_workers(folder: Path, environment: dict[str, str]) -> Iterator[Farm]:
    log = folder / "workers.log"
    command = [sys.executable, "-m", "worker.cli", "--workers=2", "--cpu-threads=1"]
    with log.open("wb") as out:
        workers = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    farm = Farm(
        environment["GRIDFARM_BROKER"], environment["GRIDFARM_STORE"], environment, log, folder
    )
    try:
        eventually(lambda: len(redis.Redis.from_url(farm.broker).keys("gridfarm:alive")) == 1)
        yield farm
    finally:
        workers.send_signal(signal.SIGTERM)
        workers.wait(60)


@pytest.fixture(autouse=True)
def credentials(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reads the same store as the farm."""
    for name, value in farm.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def eventually(happens: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_batch_file_becomes_a_grid(farm: Farm) -> None:
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
    rendered = farm.renders()
    assert sum(n for cell, n in rendered.items() if cell.startswith(order["batch"])) == 8
    assert sum(n for cell, n in rendered.items() if cell.startswith(more["batch"])) == 4


def test_both_workers_work(farm: Farm) -> None:
    """Every stored picture names the process' machine and library versions."""
    batch = farm.gridfarm(
        "submit", farm.write("both", prompts=["x"], seeds="0..11", settings=SMALL)
    )
    farm.gridfarm("watch", batch["batch"])
    names = {line.split(" listens on ")[0].split()[-1] for line in farm.log.read_text().splitlines()
             if " listens on " in line}  # fmt: skip
    assert len(names) == 2
    fingerprint = farm.gridfarm("show", f"{batch['batch']}#0")["fingerprint"]
    assert fingerprint["torch"]


def test_overlapping_batches_render_each_shared_key_once(farm: Farm) -> None:
    """Two batches at once share 6 of their 10 cells each."""
    one = farm.write("overlap-one", prompts=["shared"], seeds="0..9", settings=SMALL)
    two = farm.write("overlap-two", prompts=["shared"], seeds="4..13", settings=SMALL)
    ids = [farm.gridfarm("submit", file)["batch"] for file in (one, two)]
    for batch in ids:
        assert farm.gridfarm("watch", batch)["done"] == 10
    rendered = farm.renders()
    assert sum(n for cell, n in rendered.items() if cell.split()[0] in ids) == 14


def test_a_wiped_broker_with_nobody_watching(farm: Farm) -> None:
    """FLUSHALL in the middle of a batch: the workers rebuild it from the store and finish."""
    batch = farm.gridfarm(
        "submit", farm.write("wiped", prompts=["x"], seeds="100..129", settings=SMALL)
    )["batch"]
    jobs = [cell.key for cell in Matrix(read_batch(farm.store, batch))]
    eventually(lambda: any(farm.store.exists(object_names.picture(key)) for key in jobs))
    redis.Redis.from_url(farm.broker).flushall()
    eventually(lambda: not farm.store.exists(object_names.active(batch)))
    assert all(farm.store.exists(object_names.picture(key)) for key in jobs)
    assert farm.gridfarm("status", batch)["state"] == "done"
    rendered = farm.renders()
    extra = sum(n for cell, n in rendered.items() if cell.startswith(batch)) - len(jobs)
    assert extra <= 6, "at most what was in hand is rendered again"


def test_a_lora_that_only_the_worker_finds_bad(farm: Farm) -> None:
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


def save_misfit_lora(path: Path) -> None:
    """A sound safetensors file with a LoRA's keys, for layers of another width."""
    import numpy as np
    from safetensors.numpy import save_file

    from tests.support.engine import LAYER

    ones = np.ones((4, 4), dtype=np.float32)
    save_file({f"{LAYER}.lora_A.weight": ones, f"{LAYER}.lora_B.weight": ones}, path)


def test_the_farms_pictures_are_the_notebooks(farm: Farm) -> None:
    """Base, negative only, LoRA + negative; two prompts, weighted, with the refiner; the models
    are local folders in the hub's layout, which go up as assets. Bit for bit what plain
    diffusers and compel draw."""
    from tests.worker.engine.test_parity import BURGER, SIZE, WOLF, notebook
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
