"""Whether this machine has what its worker processes are to render on, and which process has which
GPU. Looked at before a process is started, which would only fail again and again.

The driver is asked first; torch, which takes seconds to load, where somebody wants a GPU and no
driver can be asked: a container may have a GPU and no nvidia-smi.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from common.errors import UsageError
from common.gpus import InstalledGpu, installed_gpus, visible_gpus
from common.install import install_command
from worker.supervisor.process_options import ProcessOptions

DEVICES = "it is cuda, cuda:1 (the second GPU) or cpu; without it, a GPU if there is one"
_DEVICE = re.compile(r"cpu|cuda(?::(?P<number>\d{1,3}))?")
_GPU = re.compile(r"\d{1,3}|(?:GPU|MIG)-[\w/-]+")
#: Words that can only be an NVIDIA GPU's model. A pool may have any other name: `spot`, `g5`.
_MODEL = re.compile(
    r"t4|v100|p100|l4|l40s?|a(?:10g?|16|30|40|100|800|4000|5000|6000)|h(?:20|100|200|800)"
    r"|gh200|g?b[123]00|(?:rtx)?[2-5]0[5-9]0(?:ti)?"
)
_TORCH = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"


def check_install() -> None:
    """Raises UsageError in an install without what renders."""
    if missing := [name for name in ("torch", "diffusers") if find_spec(name) is None]:
        raise UsageError(
            f"this is a producer-only install: it has no {' and no '.join(missing)} to render with",
            hint=f"{install_command('worker')} brings it",
        )


def check_cache(folder: Path) -> None:
    """Raises UsageError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"the cache folder {folder} cannot be written: {error.strerror}",
            hint="set GRIDFARM_CACHE to a folder that can, with room for models",
        ) from error


def fitted(
    options: ProcessOptions, *, chosen: str | None = None
) -> tuple[ProcessOptions, list[str]]:
    """The options for each process, and the GPUs that the processes are pinned to in turn, [] where
    a process chooses by itself. `chosen` is what was given as --gpus, and is in the environment
    already. Raises UsageError for a device or GPU that this machine lacks."""
    number = _check_options(options)
    if options.device == "cpu":
        return options, []
    gpus, installed = visible_gpus(), installed_gpus()
    _check_names(gpus, installed)
    if wanted := _wanted(options, chosen):
        _check_count(wanted, gpus, installed, at_least=max(number + 1, len(gpus) if chosen else 1))
    _check_type(options.gpu, [found.name for gpu in gpus if (found := _find(gpu, installed))])
    if options.device and ":" in options.device and gpus:
        # A process sees the one GPU that it is pinned to, and counts from there.
        return replace(options, device="cuda"), [gpus[number]]
    return options, gpus


def _check_options(options: ProcessOptions) -> int:
    """The number behind `cuda:`, else 0."""
    found = _DEVICE.fullmatch(options.device or "cuda")
    if not found:
        raise UsageError(f"--device {options.device}: there is no such device", hint=DEVICES)
    if options.gpu and options.device == "cpu":
        raise UsageError(
            f"--gpu {options.gpu} with --device cpu: what is pinned to a GPU is not drawn on a CPU",
            hint="leave one of the two out",
        )
    if options.gpu == "cuda":
        raise UsageError(
            "--gpu cuda names no type of GPU",
            hint="write l4, a100 or the like; any worker on a GPU also takes what needs CUDA",
        )
    return int(found["number"] or 0)


def _wanted(options: ProcessOptions, chosen: str | None) -> str:
    """What asks for a GPU; "" where the CPU will do."""
    if options.device:
        return f"--device {options.device}"
    if options.gpu:
        return f"--gpu {options.gpu}"
    return f"--gpus {chosen}" if chosen and chosen.strip() not in ("", "-1") else ""


def _find(gpu: str, installed: Sequence[InstalledGpu]) -> InstalledGpu | None:
    """By its number, or the beginning of its UUID."""
    if gpu.isdigit():
        return installed[int(gpu)] if int(gpu) < len(installed) else None
    return next((each for each in installed if each.uuid.startswith(gpu)), None)


def _check_names(gpus: Sequence[str], installed: Sequence[InstalledGpu]) -> None:
    for gpu in gpus:
        unknown = installed and not gpu.startswith("MIG-") and not _find(gpu, installed)
        if unknown or not _GPU.fullmatch(gpu):
            raise UsageError(
                f"--gpus or CUDA_VISIBLE_DEVICES names {gpu!r}, which this machine does not have"
                + (f": it has {_gpus(len(installed))}" if installed else ""),
                hint="GPUs are named by their numbers, 0,2, or as nvidia-smi -L does",
            )


def _check_count(
    wanted: str, gpus: Sequence[str], installed: Sequence[InstalledGpu], *, at_least: int
) -> None:
    count = len(gpus) if installed else _torchs_count()
    if not count:
        raise UsageError(
            f"{wanted} asks for a GPU, and none can be used on this machine",
            hint="nvidia-smi shows what the driver has; a container needs --gpus all, and torch a"
            f" build for CUDA; without {wanted}, the CPU renders, slowly",
        )
    if count < at_least:
        raise UsageError(f"{wanted}: this machine has {_gpus(count)} to use", hint=DEVICES)


def _torchs_count() -> int:
    """Where the driver cannot be asked."""
    asked = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True)
    last = asked.stdout.strip().rpartition("\n")[2]
    return int(last) if last.isdigit() else 0


def _check_type(kind: str, names: Sequence[str]) -> None:
    """A pool may be called anything; one that is called as a GPU's model has that."""
    model = kind.replace("-", "")
    if not _MODEL.fullmatch(model):
        return
    for name in names:
        if not _is_of(model, name.lower()):
            raise UsageError(
                f"--gpu {kind}: this machine's GPU is of another type, {name}",
                hint="give the type that it has, or with --gpus the GPUs that are of this one",
            )


def _is_of(model: str, name: str) -> bool:
    """Separators in the name count for nothing (`RTX 4070 Ti`), and a letter behind the model is
    a make of it (`A10G`, `V100S`). A longer number is another model: an A100 is no A10."""
    spread = r"[^a-z\d]*".join(re.findall(r"[a-z]+|\d+", model))
    return bool(re.search(rf"(?<![a-z\d]){spread}(?!\d)", name))


def _gpus(count: int) -> str:
    return "1 GPU, which is 0" if count == 1 else f"{count} GPUs, 0 to {count - 1}"
