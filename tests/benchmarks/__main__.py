"""`make bench`: what gridfarm costs over plain diffusers, as ratios within one run.

Throughput is pictures per second from the first picture on disk to the last, so start-up and
loading count on neither side; one torch thread per process. Runs alternate, and the median of
each side is compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from common.batch import Batch, Matrix, RangeAxis
from common.job import BUILTIN_MODELS
from common.store import object_names, open_store
from common.store.folder import FolderStore
from producer.batches import StatusWatcher
from producer.language import load_batch_file
from producer.language.settings import DEFAULTS
from producer.local import local_broker, local_workers
from producer.submission import Resolved, resolve, submit

ROOT = Path(__file__).parents[2]
ROUNDS = 3
BATCH = """
name: bench
model: tiny
settings: {steps: 30, size: 192x192, high_noise_frac: 0.8, guidance_scale: 13}
lora_files: {wrong: wrong.safetensors}
prompts: ["a wolf (in the snow)++", "a hamburger, professional food photography"]
seeds: 0..3
variants:
  base: {}
  wrong-negative: {negative_prompt: wrong}
  wrong-lora: {negative_prompt: wrong, loras: {wrong: 1.0}}
"""


def main(only: str = "") -> None:
    if only:
        {"command-line": command_line}[only]()
        return
    with tempfile.TemporaryDirectory(prefix="gridfarm-bench-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "worker.cli", "build-tiny", folder], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        throughput(folder)
        encodings(folder)
    command_line()
    million_cells()


def show(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<58} {value}\n")
    sys.stdout.flush()


def throughput(folder: Path) -> None:
    """One worker of a farm against a bare loop over the same 24 jobs in the same order."""
    bare, cached, farm = [], [], []
    for number in range(ROUNDS):
        farm.append(farm_rate(folder, folder / f"round-{number}"))
        jobs = folder / "jobs.json"
        jobs.write_text(json.dumps(ordered_jobs(folder)))
        bare.append(bare_rate(folder, jobs))
        cached.append(bare_rate(folder, jobs, "--cache-prompts"))
    ours = statistics.median(farm)
    show("farm, one worker, pictures/s", spread(farm))
    show("bare diffusers loop, pictures/s", spread(bare))
    show("bare loop with cached prompt encodings, pictures/s", spread(cached))
    show("farm / bare loop (must be at least 0.97)", f"{ours / statistics.median(bare):.3f}")
    show("farm / bare loop with cached encodings", f"{ours / statistics.median(cached):.3f}")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def rate(written: list[float]) -> float:
    return (len(written) - 1) / (max(written) - min(written))


def load(folder: Path, store: Any) -> Resolved:
    from producer.submission import Hub

    (folder / "bench.yaml").write_text(BATCH)
    file = load_batch_file(folder / "bench.yaml", base_dir=folder)
    return resolve(file, Hub(store, print))


def ordered_jobs(folder: Path) -> list[dict[str, Any]]:
    """The jobs in the order in which the farm renders them: LoRAs change slowest."""
    matrix = Matrix(load(folder, FolderStore(folder / "unused")).batch)
    jobs = [cell.job.to_json() for cell in matrix]
    return sorted(jobs, key=lambda job: bool(job.get("loras")))


def farm_rate(folder: Path, store_folder: Path) -> float:
    store = open_store(str(store_folder))
    with local_broker() as broker:
        ledger = broker.ledger
        resolved = load(folder, store)
        report = submit(resolved, store, ledger)
        log, cache = folder / "workers.log", str(folder / "cache")
        watcher = StatusWatcher(report.batch, resolved.batch, store, ledger)
        with (
            one_thread(),
            local_workers(broker.url, str(store_folder), log, workers=1, cache=cache),
        ):
            for _ in watcher.follow():
                pass
    names = [object_names.picture(cell.key) for cell in Matrix(resolved.batch)]
    return rate([(store_folder / name).stat().st_mtime for name in names])


def one_thread() -> Any:
    """local_workers gives each process its share of the cores; here that is one thread."""
    from unittest import mock

    return mock.patch("os.cpu_count", return_value=1)


def bare_rate(folder: Path, jobs: Path, *flags: str) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.bare_loop", folder, jobs, *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return rate(json.loads(answer.stdout.splitlines()[-1]))


def encodings(folder: Path) -> None:
    """Prompt encodings computed against unique (prompt, encoder, adapter state)."""
    from worker.assets import Assets
    from worker.engine import Renderer

    store = FolderStore(folder / "round-0")
    renderer = Renderer(Assets(store, folder / "cache"), device="cpu", cpu_threads=1)
    jobs = [cell.job for cell in Matrix(load(folder, store).batch)]
    unique = set()
    for job in jobs:
        renderer.render(job.model_copy(update={"steps": 2, "high_noise_frac": 0.5}))
        # The LoRA of this batch touches the UNet only: both encoders are as without it, and
        # the refiner reads what the second one made for the base.
        for text in filter(lambda t: t is not None, (job.prompt, job.negative_prompt)):
            unique |= {(text, "text_encoder"), (text, "text_encoder_2")}
    show("prompt encodings computed, for 24 pictures", str(renderer.encodings_computed))
    show("unique (prompt, encoder, adapter state)", str(len(unique)))


def command_line() -> None:
    example = str(ROOT / "examples" / "wrong-lora.yaml")
    seconds, _ = best("--help")
    show("gridfarm --help (must be under 0.3 s)", f"{seconds:.3f} s")
    seconds, _ = best("plan", example)
    show("gridfarm plan of the 15 cells (must be under 0.8 s)", f"{seconds:.3f} s")
    for name, text in MILLIONS.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            seconds, memory = best("plan", file.name)
        show(f"gridfarm plan, {name} (under 3 s, 150 MB)", f"{seconds:.2f} s, {memory:.0f} MB")


MILLIONS = {
    "a million seeds": "prompts: [x]\nseeds: 0..999999\n",
    "a million cells of which some are excluded": (
        "prompts: [x]\nseeds: 0..9999\naxes: {guidance_scale: 1..10.9 by 0.1}\n"
        'exclude: [{guidance_scale: "> 5", seed: "> 99"}]\n'
    ),
    "1,000 prompts x 1,000 random seeds": json.dumps(
        {
            "prompts": [f"a photograph of {n} wolves in the snow" for n in range(1000)],
            "seeds": {"random": 1000, "from": 7},
        }
    ),
}


def best(*arguments: str) -> tuple[float, float]:
    """The shortest of five runs in seconds, and the most memory of any in MB."""
    times, memory = [], 0.0
    command = [str(Path(sys.executable).with_name("gridfarm")), *arguments]
    for _ in range(5):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        times.append(time.perf_counter() - began)
        memory = max(memory, usage.ru_maxrss / 1000)
    return min(times), memory


def million() -> Batch:
    settings = DEFAULTS | {"model": "tiny", "prompt": "x", "size": "64x64"}
    axes = (
        RangeAxis(name="steps", first="1", last="1000"),
        RangeAxis(name="seed", first="0", last="999"),
    )
    return Batch(name="million", settings=settings, axes=axes,
                 models=dict(BUILTIN_MODELS))  # fmt: skip


def million_cells() -> None:
    tracemalloc.start()
    matrix = Matrix(million())
    began = time.perf_counter()
    assert matrix.cells == matrix.jobs == len(matrix) == 1_000_000
    counted = time.perf_counter() - began
    began = time.perf_counter()
    assert matrix[999_999] is not None
    looked = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    show("a million cells: counted in / one cell in / memory",
         f"{counted * 1e3:.2f} ms / {looked * 1e3:.2f} ms / {peak / 1e3:.0f} kB")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:2])
