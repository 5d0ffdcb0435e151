"""CLIP's tokenizers from the files of a model, without transformers (its import takes seconds).

Built as transformers' CLIPTokenizer builds its own: byte-level BPE with `</w>` at a word's end,
over lower-cased text that is split into contractions, runs of letters, single digits and runs
of everything else. The package `tokenizers` comes with the worker extra.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.job import BUILTIN_MODELS, SDXL

#: Where SDXL keeps the tokenizers of its two encoders; the refiner has the second alone.
FOLDERS = ("tokenizer", "tokenizer_2")

_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_MARKS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}


def load_tokenizers(model: Path) -> tuple[Any, ...]:
    """The `tokenizers.Tokenizer` of each encoder of a model in the hub's folder layout.

    Empty where the model has none, where they can't be read (the worker says so when it loads
    the model) or where the package is not installed.
    """
    try:
        return tuple(_load(model / name) for name in FOLDERS if (model / name).is_dir())
    except Exception:  # what the package raises for a broken file is no narrower
        return ()


def cached_sdxl(cache_dir: Path | None = None) -> Path | None:
    """SDXL's folder in the hub's cache on this machine, if its tokenizer is there.

    `cache_dir` is the hub's own (`HF_HUB_CACHE`) if None. Nothing is downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    sdxl = BUILTIN_MODELS[SDXL]
    file = f"{FOLDERS[0]}/vocab.json"
    found = try_to_load_from_cache(sdxl.hub_id, file, cache_dir=cache_dir, revision=sdxl.revision)
    return Path(found).parents[1] if isinstance(found, str) else None


def _load(folder: Path) -> Any:
    from tokenizers import Tokenizer

    whole = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(whole)) if whole.is_file() else _build(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _build(folder: Path) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    unknown = config.get("unk_token", _MARKS["eos_token"])
    tokenizer = Tokenizer(
        models.BPE.from_file(*files, end_of_word_suffix="</w>", unk_token=_content(unknown))
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([*_special_tokens(config)])
    return tokenizer


def _special_tokens(config: Mapping[str, Any]) -> Iterator[Any]:
    """What is one token wherever it stands. The pad token of SDXL's second tokenizer is `!`, so
    `!!!` is three tokens there and one for the first."""
    from tokenizers import AddedToken

    declared = {
        entry["content"]: entry for entry in config.get("added_tokens_decoder", {}).values()
    }
    named = [_content(config.get(name, mark)) for name, mark in _MARKS.items()]
    padding = [_content(config["pad_token"])] if config.get("pad_token") else []
    for token in dict.fromkeys([*declared, *named, *padding]):
        normalized = declared.get(token, {}).get("normalized", False)
        yield AddedToken(token, special=True, normalized=normalized)


def _content(token: str | Mapping[str, Any]) -> str:
    """A token as a config has it: the text, or in older files a mapping with it."""
    return token if isinstance(token, str) else str(token["content"])
