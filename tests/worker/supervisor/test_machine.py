"""What a machine has for its worker processes, looked at before one is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from worker.supervisor import ProcessOptions, fitted, machine


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An nvidia-smi that knows GPUs of these names; without names, none is there."""

    def has(*names: str) -> None:
        rows = "".join(f"echo 'GPU-{n}a, {name}'\n" for n, name in enumerate(names))
        if names:
            (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{rows}")
            (tmp_path / "nvidia-smi").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return has


TWO = ("NVIDIA L4", "NVIDIA L4")
MIXED = ("NVIDIA L4", "NVIDIA A100-SXM4-80GB")


@pytest.mark.parametrize(
    ("names", "options", "chosen", "device", "gpus"),
    [
        (TWO, {}, None, None, ["GPU-0a", "GPU-1a"]),
        (TWO, {"device": "cuda"}, None, "cuda", ["GPU-0a", "GPU-1a"]),
        (TWO, {"device": "cuda:1"}, None, "cuda", ["GPU-1a"]),
        (TWO, {"device": "cpu"}, None, "cpu", []),
        (TWO, {}, "1", None, ["1"]),
        (TWO, {}, "GPU-1", None, ["GPU-1"]),
        (TWO, {}, "MIG-5a/1/0", None, ["MIG-5a/1/0"]),
        (TWO, {}, "", None, []),
        (TWO, {"gpu": "l4"}, None, None, ["GPU-0a", "GPU-1a"]),
        (TWO, {"gpu": "spot-pool"}, None, None, ["GPU-0a", "GPU-1a"]),
        (TWO, {"gpu": "g5"}, None, None, ["GPU-0a", "GPU-1a"]),
        (MIXED, {"gpu": "a100"}, "1", None, ["1"]),
        (("NVIDIA GeForce RTX 4090",), {"gpu": "rtx-4090"}, None, None, ["GPU-0a"]),
        (("NVIDIA GeForce RTX 4070 Ti",), {"gpu": "rtx-4070-ti"}, None, None, ["GPU-0a"]),
        (("NVIDIA GeForce RTX 4070 Ti",), {"gpu": "4070ti"}, None, None, ["GPU-0a"]),
        (("NVIDIA A10G",), {"gpu": "a10"}, None, None, ["GPU-0a"]),
        (("GRID A100X-40C",), {"gpu": "a100"}, None, None, ["GPU-0a"]),
        (("NVIDIA A100X",), {"gpu": "a100"}, None, None, ["GPU-0a"]),
        (("NVIDIA A100 80GB PCIe",), {"gpu": "a100"}, None, None, ["GPU-0a"]),
        (("NVIDIA T4G",), {"gpu": "t4"}, None, None, ["GPU-0a"]),
        (("Tesla V100S-PCIE-32GB",), {"gpu": "v100"}, None, None, ["GPU-0a"]),
        ((), {}, None, None, []),
        ((), {"device": "cpu"}, None, "cpu", []),
    ],
)  # fmt: skip
def test_which_gpu_each_process_has(
    driver: Any,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    options: dict[str, Any],
    chosen: str | None,
    device: str | None,
    gpus: list[str],
) -> None:
    driver(*names)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    found, places = fitted(ProcessOptions(**options), chosen=chosen)
    assert (found.device, places) == (device, gpus)


@pytest.mark.parametrize(
    ("names", "options", "chosen", "says"),
    [
        ((), {"device": "cuda"}, None, "--device cuda asks for a GPU, and none can be used"),
        ((), {"gpu": "l4"}, None, "--gpu l4 asks for a GPU"),
        ((), {}, "0", "--gpus 0 asks for a GPU"),
        (TWO, {"device": "cuda:7"}, None, "--device cuda:7: this machine has 2 GPUs, 0 to 1"),
        (("NVIDIA L4",), {"device": "cuda:1"}, None, "this machine has 1 GPU, which is 0"),
        (TWO, {"device": "nonsense"}, None, "--device nonsense: there is no such device"),
        (TWO, {"device": "cuda:x"}, None, "--device cuda:x: there is no such device"),
        (TWO, {"device": "cpu", "gpu": "l4"}, None, "--gpu l4 with --device cpu"),
        (TWO, {"gpu": "cuda"}, None, "--gpu cuda names no type"),
        (TWO, {"gpu": "a100"}, None, "--gpu a100: this machine's GPU is of another type"),
        (MIXED, {"gpu": "a100"}, None, "is of another type, NVIDIA L4"),
        (("NVIDIA L40S",), {"gpu": "l4"}, None, "is of another type, NVIDIA L40S"),
        (("NVIDIA A100-SXM4-40GB",), {"gpu": "a10"}, None, "is of another type, NVIDIA A100"),
        (("NVIDIA RTX A4000",), {"gpu": "a40"}, None, "is of another type, NVIDIA RTX A4000"),
        (("NVIDIA GH200 480GB",), {"gpu": "h200"}, None, "is of another type, NVIDIA GH200"),
        (("NVIDIA GeForce RTX 4070",), {"gpu": "rtx-4070-ti"}, None, "is of another type"),
        (TWO, {}, "0,7", "names '7', which this machine does not have: it has 2 GPUs"),
        (TWO, {}, "GPU-9", "names 'GPU-9', which this machine does not have"),
        (TWO, {}, "all", "names 'all', which this machine does not have"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(
    driver: Any,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    options: dict[str, Any],
    chosen: str | None,
    says: str,
) -> None:
    """With what to do; and torch is asked where no driver is there to be."""
    monkeypatch.setattr(machine, "_TORCH", "print(0)")
    driver(*names)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    with pytest.raises(UsageError) as refused:
        fitted(ProcessOptions(**options), chosen=chosen)
    assert says in refused.value.message
    assert refused.value.hint


def test_torch_may_have_a_gpu_that_no_driver_can_be_asked_for(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with a GPU and without nvidia-smi."""
    driver()
    monkeypatch.setattr(machine, "_TORCH", "print('some library greets'); print(2)")
    options = ProcessOptions(device="cuda:1")
    assert fitted(options) == (options, [])
    with pytest.raises(UsageError, match="2 GPUs, 0 to 1"):
        fitted(ProcessOptions(device="cuda:2"))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (["--device", "cuda"], {"PATH": "."}, "Error: --device cuda asks for a GPU"),
        (["--device", "nonsense"], {}, "Error: --device nonsense: there is no such device"),
        ([], {"GRIDFARM_CACHE": "{folder}/file/cache"}, "Error: the cache folder {folder}/file/"),
        (["--store", "s3:/bucket"], {}, "Error: 's3:/bucket' is not a store that gridfarm knows"),
    ],
    ids=["no GPU", "nonsense", "cache", "store"],
)  # fmt: skip
def test_a_worker_that_cannot_start_says_so_once(
    broker: str, tmp_path: Path, arguments: list[str], settings: dict[str, str], says: str
) -> None:
    """One line and what to do, exit code 2, before a process is started, however many there were
    to be."""
    (tmp_path / "file").touch()
    environment = {"GRIDFARM_BROKER": broker, "GRIDFARM_STORE": str(tmp_path / "store")}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} if "PATH" in settings else {}
    environment |= {name: text.format(folder=tmp_path) for name, text in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "worker.cli", "--workers", "3", *arguments],
        env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2
    first, hint = ended.stderr.splitlines()
    assert first.startswith(says.format(folder=tmp_path))
    assert hint.startswith("  ")
