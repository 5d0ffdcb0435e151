"""Safetensors files, checked without torch and without reading them into memory.

The format (https://github.com/huggingface/safetensors#format): 8 bytes, little-endian, the
length N of the header; N bytes of JSON, {tensor: {"dtype", "shape", "data_offsets": [begin,
end]}} with an optional "__metadata__"; then the data, without holes, offsets counted from its
start.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import InputFileError
from common.text import mean_path

#: Bytes; the limit of the safetensors library itself.
MAX_HEADER = 100_000_000
READ_BYTES = 1 << 20

#: Bytes of an element → the names of its types.
DTYPES = {
    1: ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"),
    2: ("F16", "BF16", "I16", "U16"),
    4: ("F32", "I32", "U32"),
    8: ("F64", "I64", "U64"),
}
ITEM_BYTES = {dtype: size for size, dtypes in DTYPES.items() for dtype in dtypes}

AGAIN = "download it again, and compare its size with the source's"
CONVERT = "pickles can run code, so only .safetensors are taken; look for one, or convert it"

#: What people have instead of a safetensors file: first bytes, what it is, what to do.
FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file", "run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (.ckpt, .pt, .bin or .zip)", CONVERT),
    (b"\x80", "a pickle (.ckpt, .pt or .bin)", CONVERT),
    (b"GGUF", "a GGUF file", "look for the same as .safetensors"),
)


@dataclass(frozen=True)
class TensorEntry:
    """One tensor in a file: `begin` and `end` are positions in the file, in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def sha256_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file of any size, in hex; `on_bytes(count)` is called with each piece that
    was read. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            if on_bytes:
                on_bytes(len(piece))
    return digest.hexdigest()


def read_header(path: Path, *, name: str = "") -> list[TensorEntry]:
    """The tensors in a file, in the order of their data.

    Raises InputFileError if it is no safetensors file or not a whole one.
    """
    name = name or str(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would keep us waiting
        raise InputFileError(f"{name}: is no file", hint="name a .safetensors file")
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            entries = list(_entries(_header(file, size, name), name))
            data_start = file.tell()
    except FileNotFoundError as error:
        raise InputFileError(f"{name}: there is no such file", hint=_meant(path)) from error
    except OSError as error:
        raise InputFileError(f"{name}: cannot be read: {error.strerror}") from error
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_layout(entries, size - data_start, name)
    return [_moved(entry, data_start) for entry in entries]


def _meant(path: Path) -> str:
    return mean_path(path, (".safetensors",)) or "check the path"


def _header(file: BinaryIO, size: int, name: str) -> dict[str, Any]:
    start = file.read(64)
    file.seek(8)
    _check_foreign(start, name)
    length = int.from_bytes(start[:8], "little")
    if size < 8 or MAX_HEADER >= length > size - 8:
        raise InputFileError(f"{name}: is cut short: {size} bytes", hint=AGAIN)
    try:
        header = json.loads(file.read(length)) if length <= MAX_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise InputFileError(f"{name}: is not a safetensors file", hint=AGAIN)
    return header


def _check_foreign(start: bytes, name: str) -> None:
    if not start:
        raise InputFileError(f"{name}: is empty", hint=AGAIN)
    if start.lstrip()[:1] == b"<":
        raise InputFileError(
            f"{name}: is a web page, not a safetensors file",
            hint="download the file itself; on the hub that is the link with /resolve/ in it",
        )
    for magic, kind, hint in FOREIGN:
        if start.startswith(magic) and not _is_header(start):
            raise InputFileError(f"{name}: is {kind}", hint=hint)


def _is_header(start: bytes) -> bool:
    """A header's length may begin with the byte of a pickle; then a brace follows it."""
    return start[8:9] == b"{"


def _entries(header: dict[str, Any], name: str) -> Iterator[TensorEntry]:
    for tensor, entry in header.items():
        if tensor == "__metadata__":
            continue
        try:
            shape = tuple(_natural(length) for length in entry["shape"])
            begin, end = (_natural(offset) for offset in entry["data_offsets"])
            item_bytes = ITEM_BYTES[entry["dtype"]]
        except (KeyError, TypeError, ValueError):
            raise _broken(name, tensor) from None
        if end - begin != math.prod(shape) * item_bytes:
            raise _broken(name, tensor)
        yield TensorEntry(tensor, entry["dtype"], shape, begin, end)


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _check_layout(entries: list[TensorEntry], data_bytes: int, name: str) -> None:
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise _broken(name, entry.name)
        end = entry.end
    if end > data_bytes:
        raise InputFileError(
            f"{name}: is cut short: {data_bytes} of {end} bytes of weights", hint=AGAIN
        )
    if end < data_bytes:
        raise InputFileError(f"{name}: has {data_bytes - end} bytes too many", hint=AGAIN)


def _broken(name: str, tensor: str) -> InputFileError:
    return InputFileError(f"{name}: the header's entry for {tensor[:200]} is broken", hint=AGAIN)


def _moved(entry: TensorEntry, by: int) -> TensorEntry:
    return TensorEntry(entry.name, entry.dtype, entry.shape, entry.begin + by, entry.end + by)
