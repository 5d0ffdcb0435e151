"""Safetensors files byte by byte, whole ones and broken ones."""

from __future__ import annotations

import json
import struct
from typing import Any

UP = "unet.a.lora_B.weight"


def build(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one_tensor(dtype: str, data: bytes, count: int, name: str = UP) -> bytes:
    return build({name: entry(dtype, [count], 0, len(data))}, data)


GOOD = one_tensor("F32", struct.pack("<4f", 1, -2, 0, 3.4e38), 4)

HUGE = (1 << 60).to_bytes(8, "little")

#: What is no whole safetensors file, and what is said of it.
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "three bytes": (b"abc", "is cut short"),
    "header cut": (GOOD[:30], "is cut short"),
    "data cut": (GOOD[:-1], "is cut short: 15 of 16 bytes"),
    "data too long": (GOOD + b"x", "1 bytes too many"),
    "web page": (b"<!DOCTYPE html>\n<html>", "is a web page"),
    "web page after a newline": (b"\n  <html>" + b" " * 100, "is a web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
    "zip": (b"PK\x03\x04" + b"\0" * 100, "is a zip archive"),
    "pickle": (b"\x80\x04\x95" + b"\0" * 100, "is a pickle"),
    "GGUF": (b"GGUF" + b"\0" * 100, "is a GGUF file"),
    "text": (b"hello, this is a text file, not weights", "not a safetensors file"),
    "header beyond all bounds": (HUGE + b"{}", "not a safetensors file"),
    "header is no JSON": (build(b"{nonsense}"), "not a safetensors file"),
    "header is not UTF-8": (build(b'{"\xff": 1}'), "not a safetensors file"),
    "header is a list": (build([]), "not a safetensors file"),
    "header is a bomb": (build(b"[" * 100_000), "not a safetensors file"),
    "entry is a number": (build({UP: 3}), f"entry for {UP} is broken"),
    "entry without a shape": (build({UP: {"dtype": "F32"}}), "is broken"),
    "unknown dtype": (build({UP: entry("F31", [1], 0, 4)}, b"1234"), "is broken"),
    "negative shape": (build({UP: entry("F32", [-1, -1], 0, 4)}, b"1234"), "is broken"),
    "shape of a boolean": (build({UP: entry("F32", [True], 0, 4)}, b"1234"), "is broken"),
    "shape against offsets": (build({UP: entry("F32", [2], 0, 4)}, b"1234"), "is broken"),
    "offsets backwards": (build({UP: entry("F32", [1], 4, 0)}, b"1234"), "is broken"),
    "offsets of three": (build({UP: {**entry("F32", [1], 0, 4), "data_offsets": [0, 4, 4]}}), "is"),
    "a hole": (build({UP: entry("F32", [1], 4, 8)}, b"12345678"), "is broken"),
    "overlap": (
        build({UP: entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, b"123456"),
        "is broken",
    ),
}
