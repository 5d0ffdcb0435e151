"""Which NVIDIA GPUs this machine has, asked without torch."""

from __future__ import annotations

import os
import subprocess
from itertools import takewhile
from typing import NamedTuple


class InstalledGpu(NamedTuple):
    """As the driver names it: `GPU-5a1b…`, `NVIDIA L4`."""

    uuid: str
    name: str


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; none is []."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = (name.strip() for name in chosen.split(","))
        # CUDA leaves out what stands behind a -1, which is how people hide all of them.
        return [name for name in takewhile(lambda name: name != "-1", names) if name]
    return [gpu.uuid for gpu in installed_gpus()]


def installed_gpus() -> list[InstalledGpu]:
    """All that the driver knows; [] also where nobody can ask it."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.partition(",") for line in answer.stdout.splitlines() if line.strip())
    return [InstalledGpu(uuid.strip(), name.strip()) for uuid, _, name in rows]
