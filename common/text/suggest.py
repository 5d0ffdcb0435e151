"""The "did you mean" of every message about a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from types import MappingProxyType

#: What other programs, and diffusers, call it → our name.
ELSEWHERE = MappingProxyType(
    {
        **dict.fromkeys(("cfg", "cfg_scale", "guidance"), "guidance_scale"),
        **dict.fromkeys(("sampler", "sampler_name", "sampling_method"), "scheduler"),
        **dict.fromkeys(("num_inference_steps", "sampling_steps"), "steps"),
        **dict.fromkeys(("width", "height", "resolution"), "size"),
        **dict.fromkeys(("checkpoint", "ckpt", "base_model"), "model"),
        **dict.fromkeys(("denoising_strength", "strength"), "refiner.strength"),
        **dict.fromkeys(
            ("denoising_end", "denoising_start", "switch_at", "refiner_switch_at"),
            "high_noise_frac",
        ),
        **dict.fromkeys(("lora_weight", "lora_strength"), "lora_scale"),
        **dict.fromkeys(("float16", "half"), "fp16"),
        **dict.fromkeys(("float32", "full"), "fp32"),
        "text": "prompt",
        "lora": "loras",
        "bfloat16": "bf16",
        "gpu": "cuda",
    }
)

#: So many known names are listed when none is close.
LISTED = 20

#: So many known names are compared, and so long a beginning of each, however many there are.
COMPARED = 1000


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, whatever its case, or that other programs call so;
    None if there is none."""
    by_lower = {name.lower()[:100]: name for name in islice(known, COMPARED)}
    if (ours := ELSEWHERE.get(word.lower(), "")) in by_lower:
        return by_lower[ours]
    close = get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint: the name that was probably meant, else the names there are."""
    names = list(known)
    close = closest(word, names)
    if close is not None:
        return f"did you mean {close[:100]!r}?"
    more = ", …" if len(names) > LISTED else ""
    listed = ", ".join(name[:40] for name in names[:LISTED])
    return f"known are {listed}{more}" if names else ""
