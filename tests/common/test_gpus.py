"""The GPUs that a process may use: as CUDA_VISIBLE_DEVICES names them, else as the driver does."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.gpus import installed_gpus, visible_gpus


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The place of an nvidia-smi that is the only program on PATH, once it is written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "nvidia-smi"


def answering(smi: Path, script: str) -> None:
    smi.write_text(f"#!/bin/sh\n{script}\n")
    smi.chmod(0o755)


@pytest.mark.parametrize(
    ("chosen", "gpus"),
    [
        ("0,1", ["0", "1"]),
        ("GPU-5a,", ["GPU-5a"]),
        ("0,-1,2", ["0"]),
        ("-1", []),
        ("", []),
        (" ", []),
    ],
)
def test_what_the_environment_chooses_is_not_asked(
    smi: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, gpus: list[str]
) -> None:
    answering(smi, "echo GPU-of-the-driver")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == gpus


def test_else_the_driver_names_them(smi: Path) -> None:
    answering(smi, "echo 'GPU-1, NVIDIA L4'\necho 'GPU-2, NVIDIA L4'")
    assert visible_gpus() == ["GPU-1", "GPU-2"]
    assert {gpu.name for gpu in installed_gpus()} == {"NVIDIA L4"}


def test_a_driver_that_fails_or_is_missing_is_no_gpu(smi: Path) -> None:
    assert visible_gpus() == []
    answering(smi, "echo GPU-1\nexit 9")
    assert visible_gpus() == []
