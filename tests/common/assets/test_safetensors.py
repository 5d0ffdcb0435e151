"""Safetensors files: the tensors of a whole one; a broken one names the file and the fault."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pytest

from common.assets import TensorEntry, read_header, sha256_file
from common.errors import InputFileError
from tests.support.safetensors_files import BROKEN, GOOD, build, entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.safetensors"


def test_tensors_come_in_the_order_of_their_data(file: Path) -> None:
    """With positions in the file; metadata is no tensor."""
    header = {
        "__metadata__": {"x": "y"},
        "b": entry("F32", [1], 4, 8),
        "a": entry("F16", [1, 2], 0, 4),
    }
    data = build(header, struct.pack("<2f", 1, 2))
    file.write_bytes(data)
    start = len(data) - 8
    assert read_header(file) == [
        TensorEntry("a", "F16", (1, 2), start, start + 4),
        TensorEntry("b", "F32", (1,), start + 4, start + 8),
    ]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused(file: Path, fault: str) -> None:
    data, reason = BROKEN[fault]
    file.write_bytes(data)
    with pytest.raises(InputFileError) as failure:
        read_header(file)
    assert reason in failure.value.message
    assert failure.value.message.startswith(f"{file}: ")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputFileError, match="is no file"):
        read_header(tmp_path / "pipe")


def test_the_hash_of_a_file(file: Path) -> None:
    file.write_bytes(GOOD)
    assert sha256_file(file) == hashlib.sha256(GOOD).hexdigest()
