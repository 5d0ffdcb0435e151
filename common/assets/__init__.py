"""TODO."""

from __future__ import annotations

from common.assets.hub import hub_errors
from common.assets.safetensors import TensorEntry, check_lora_file, read_header, sha256_file

__all__ = [
    "TensorEntry",
    "check_lora_file",
    "hub_errors",
    "read_header",
    "sha256_file",
]
