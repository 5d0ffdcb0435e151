"""What is a LoRA passes; anything else names the file, the fault, the mend."""

from __future__ import annotations

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from common.assets import check_lora_file, read_header
from common.errors import InputFileError
from common.job import TINY_FOLDER
from tests.support.safetensors_files import BROKEN, GOOD, UP, build, entry, one_tensor

FAULTS: dict[str, tuple[bytes, str]] = BROKEN | {
    "no tensors": (build({}), "has no LoRA weights among its 0 tensors"),
    "other tensors": (one_tensor("F32", b"1234", 1, "a.b"), "the first is a.b"),
    "LyCORIS": (one_tensor("F32", b"1234", 1, "unet_a.lokr_w1"), "is a LyCORIS file"),
    "embedding": (one_tensor("F32", b"1234", 1, "clip_g"), "is an embedding"),
    "whole model": (
        one_tensor("F32", b"1234", 1, "model.diffusion_model.out.2.bias"),
        "is a whole model",
    ),
    "DoRA": (one_tensor("F32", b"1234", 1, "lora_unet_a.dora_scale"), "is a DoRA"),
    "NaN fp32": (one_tensor("F32", struct.pack("<2f", 1, np.nan), 2), f"tensor {UP}"),
    "infinity fp32": (one_tensor("F32", struct.pack("<2f", 1, -np.inf), 2), "NaN or infinite"),
    "NaN fp16": (one_tensor("F16", struct.pack("<2e", 1, np.nan), 2), "NaN or infinite"),
    "infinity fp16": (one_tensor("F16", struct.pack("<2e", 1, np.inf), 2), "NaN or infinite"),
    "NaN bf16": (one_tensor("BF16", b"\xc0\x7f", 1), "NaN or infinite"),
    "infinity bf16": (one_tensor("BF16", b"\x80\xff", 1), "NaN or infinite"),
    "NaN fp64": (one_tensor("F64", struct.pack("<d", np.nan), 1), "NaN or infinite"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        build({"__metadata__": {"x": "y"}, UP: entry("F16", [2, 0], 0, 0)}),
        one_tensor("BF16", b"\x7f\x7f\xff\xff"[:2], 1),
        one_tensor("F8_E4M3", b"\x7e", 1),
        one_tensor("I64", b"\xff" * 8, 1),
        build({UP: entry("F64", [], 0, 8)}, struct.pack("<d", 1.7e308)),
    ],
    ids=["fp32", "nothing in it", "largest bf16", "fp8", "integers", "a single fp64"],
)
def test_a_lora_passes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    check_lora_file(file)


@pytest.mark.parametrize("lora", ["glorp", "glorp-kohya", "pastel", "wrong"])
def test_the_tiny_models_loras_pass(lora: str) -> None:
    """In diffusers' layout and in Kohya's."""
    path = TINY_FOLDER / f"{lora}.safetensors"
    check_lora_file(path)
    weights = [entry for entry in read_header(path) if not entry.name.endswith(".alpha")]
    assert {entry.dtype for entry in weights} == {"F16"}


@pytest.mark.parametrize("fault", FAULTS)
def test_anything_else_is_refused(file: Path, fault: str) -> None:
    data, reason = FAULTS[fault]
    file.write_bytes(data)
    with pytest.raises(InputFileError) as failure:
        check_lora_file(file)
    assert reason in failure.value.message
    assert failure.value.message.startswith(f"{file}: ")


def test_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="there is no such file"):
        check_lora_file(tmp_path / "nothing")
    with pytest.raises(InputFileError, match="cannot be read: Is a directory"):
        check_lora_file(tmp_path)


def test_messages_call_the_file_by_its_name(file: Path) -> None:
    file.write_bytes(b"")
    with pytest.raises(InputFileError, match=re.escape("LoRA wrong: is empty")):
        check_lora_file(file, name="LoRA wrong")


def test_the_second_of_two_tensors_is_looked_at(file: Path) -> None:
    header = {"b.lora": entry("F32", [1], 4, 8), "a.lora": entry("F32", [1], 0, 4)}
    file.write_bytes(build(header, struct.pack("<2f", 1, np.nan)))
    with pytest.raises(InputFileError, match=r"tensor b\.lora"):
        check_lora_file(file)
    assert [entry.name for entry in read_header(file)] == ["a.lora", "b.lora"]


def test_a_big_file_costs_little_memory(file: Path) -> None:
    """Given 64 MB of weights whose last is NaN, a few MB are held at a time."""
    count = 16 << 20
    file.write_bytes(build({UP: entry("F32", [count], 0, 4 * count)}))
    with file.open("r+b") as writer:
        header = file.stat().st_size
        writer.truncate(header + 4 * count)
        writer.seek(header + 4 * (count - 1))
        writer.write(struct.pack("<f", np.nan))
    tracemalloc.start()
    try:
        with pytest.raises(InputFileError, match="NaN"):
            check_lora_file(file)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
