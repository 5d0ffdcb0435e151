"""Files that pictures are made with, checked without torch and without reading them into memory.

safetensors   the format: a file's tensors, and its hash
lora_file     what makes such a file a LoRA
file_hashes   which files of this machine have which SHA-256
hub           trouble with the Hugging Face hub, as both sides meet it
"""

from __future__ import annotations

from common.assets.file_hashes import FileHashes, Stamp
from common.assets.hub import hub_errors
from common.assets.lora_file import check_lora_file
from common.assets.safetensors import TensorEntry, read_header, sha256_file

__all__ = [
    "FileHashes",
    "Stamp",
    "TensorEntry",
    "check_lora_file",
    "hub_errors",
    "read_header",
    "sha256_file",
]
