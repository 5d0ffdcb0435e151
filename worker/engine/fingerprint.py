"""What besides the job decides a picture's bits: device, versions, numerics."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch
from pydantic import JsonValue

from common.job import Job

LIBRARIES = ("torch", "diffusers", "transformers", "compel", "peft")


def on_cuda(device: str) -> bool:
    """Of torch's name of a device: `cuda`, `cuda:1`, `cpu`."""
    return device.startswith("cuda")


def device_name(device: str) -> str:
    """`NVIDIA L4`, or `cpu x86_64`."""
    if on_cuda(device):
        return str(torch.cuda.get_device_name(device))
    return f"{device} {platform.machine()}"


def fingerprint(job: Job, device: str, cpu_threads: int) -> dict[str, JsonValue]:
    """Where it is equal for two machines, they draw the same bits. On a CPU that needs the same
    number of threads; a GPU's pictures depend on the CPU where that draws the noise."""
    mark: dict[str, JsonValue] = {
        "device": device.partition(":")[0],
        "name": device_name(device),
        **{library: version(library) for library in LIBRARIES},
        "matmul": torch.get_float32_matmul_precision(),
    }
    if not on_cuda(device) or job.noise == "cpu":
        mark["instruction_set"] = torch.backends.cpu.get_cpu_capability()
    return mark | (_cuda_numerics() if on_cuda(device) else {"cpu_threads": cpu_threads})


def _cuda_numerics() -> dict[str, JsonValue]:
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
