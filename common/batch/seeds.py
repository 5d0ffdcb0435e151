"""Random seeds that can be had again: each is a hash, so more of them never change the first.

Golden values in tests/common/batch/test_seeds.py hold both formulas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import rfc8785


def numbered_seed(source: int, number: int) -> str:
    """The seed `number` (from 0) of `{random: N, from: source}`: the first 8 bytes, big-endian,
    of the SHA-256 of `<source>:<number>`, as a decimal text."""
    return _seed(f"{source}:{number}".encode())


def image_seed(source: str, labels: Mapping[str, str]) -> str:
    """The seed of one cell under `{…, from: source, per: image}`: as above, of the canonical
    JSON (RFC 8785) of `{"from": source, "labels": {axis: label}}`."""
    return _seed(rfc8785.dumps({"from": source, "labels": dict(labels)}))


def is_drawn(setting: str, value: object) -> bool:
    """Whether it is a seed that each image has its own of, as a batch holds it until then."""
    return setting == "seed" and isinstance(value, dict)


def _seed(data: bytes) -> str:
    return str(int.from_bytes(hashlib.sha256(data).digest()[:8], "big"))
