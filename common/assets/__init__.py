"""Files that pictures are made with, checked without torch and without reading them into memory.

safetensors   the format: a file's tensors, and its hash
lora_file     what makes such a file a LoRA
file_hashes   which files of this machine have which SHA-256
checkpoint    what makes such a file a whole SDXL
model_files   models in diffusers' folder layout: what a load reads of them, and what they lack
hub           the Hugging Face hub, as both sides meet it: errors, cache, one question
"""

from __future__ import annotations

from common.assets.checkpoint import check_checkpoint_file
from common.assets.file_hashes import FileHashes, Stamp
from common.assets.hub import (
    Snapshot,
    ask_hub,
    cached_snapshot,
    disk_trouble,
    hub_cache,
    hub_errors,
    hub_is_off,
)
from common.assets.lora_file import check_lora_file
from common.assets.model_files import (
    CONFIG,
    INDEX,
    SDXL_PARTS,
    SETTINGS,
    Index,
    Part,
    check_model_folder,
    files_in,
    folders_of,
    lacking,
    needed_files,
    variant_of,
)
from common.assets.safetensors import TensorEntry, read_header, sha256_file

__all__ = [
    "CONFIG",
    "INDEX",
    "SDXL_PARTS",
    "SETTINGS",
    "FileHashes",
    "Index",
    "Part",
    "Snapshot",
    "Stamp",
    "TensorEntry",
    "ask_hub",
    "cached_snapshot",
    "check_checkpoint_file",
    "check_lora_file",
    "check_model_folder",
    "disk_trouble",
    "files_in",
    "folders_of",
    "hub_cache",
    "hub_errors",
    "hub_is_off",
    "lacking",
    "needed_files",
    "read_header",
    "sha256_file",
    "variant_of",
]
