"""A file that is to be a LoRA: whatever cannot be one is refused before anything is uploaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.assets.safetensors import ITEM_BYTES, TensorEntry, read_header
from common.errors import InputFileError

if TYPE_CHECKING:
    import numpy as np

#: The exponent of each floating-point type: where all of these bits are set, the number is
#: infinity or NaN.
EXPONENT_BITS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0 << 48}

#: Elements looked at in one go.
CHUNK = 1 << 20

#: What a safetensors file without a LoRA may be, told by its tensors' names.
OTHER_KINDS = (
    (("lokr_", "hada_", "oft_"), "a LyCORIS file of another kind", "only LoRA is supported"),
    (("clip_g", "clip_l", "emb_params"), "an embedding (textual inversion)", ""),
    (("model.diffusion_model.",), "a whole model", "name it under `model`, not as a LoRA"),
    (("input_blocks.0.0.weight",), "a ControlNet or a UNet", ""),
)


def check_lora_file(path: Path, *, name: str = "") -> None:
    """Refuse what cannot be a LoRA for any model: unreadable, no safetensors, cut short,
    without one LoRA tensor, or with weights that are NaN or infinite.

    `name` is how messages call the file, its path by default. Whether it fits a model only
    the worker can tell. Raises InputFileError.
    """
    name = name or str(path)
    entries = read_header(path, name=name)
    if not any("lora" in entry.name for entry in entries):
        raise _no_lora(name, entries)
    if any("dora_scale" in entry.name for entry in entries):
        raise InputFileError(f"{name}: is a DoRA", hint="only plain LoRA is supported")
    for entry in entries:
        if entry.dtype in EXPONENT_BITS and not _all_finite(path, entry):
            raise InputFileError(
                f"{name}: the tensor {entry.name} has weights that are NaN or infinite",
                hint="it would spoil every picture; take another checkpoint of that training",
            )


def _no_lora(name: str, entries: list[TensorEntry]) -> InputFileError:
    for signs, kind, hint in OTHER_KINDS:
        if any(sign in entry.name for entry in entries for sign in signs):
            return InputFileError(f"{name}: is {kind}, not a LoRA", hint=hint)
    first = f", the first is {entries[0].name}" if entries else ""
    return InputFileError(
        f"{name}: has no LoRA weights among its {len(entries)} tensors{first}",
        hint="a LoRA's tensors have names with lora_A, lora_down or lora_unet in them",
    )


def _all_finite(path: Path, entry: TensorEntry) -> bool:
    import numpy as np

    if entry.begin == entry.end:
        return True
    unsigned = np.dtype(f"<u{ITEM_BYTES[entry.dtype]}")
    count = math.prod(entry.shape)
    bits = np.memmap(path, unsigned, mode="r", offset=entry.begin, shape=(count,))
    exponent = unsigned.type(EXPONENT_BITS[entry.dtype])
    chunks = (bits[start : start + CHUNK] for start in range(0, count, CHUNK))
    return all(_no_full_exponent(chunk, exponent) for chunk in chunks)


def _no_full_exponent(bits: np.ndarray[Any, Any], exponent: Any) -> bool:
    return not bool(((bits & exponent) == exponent).any())
