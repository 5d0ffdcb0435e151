"""Prompts → embeddings, with compel's weights, each computed once.

An embedding depends on the text, on the encoder's weights (its model, precision and the LoRAs
that are on in it) and on what happens to long prompts. Each of SDXL's two encoders is asked by
itself: the base needs both answers side by side, the refiner the second alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyparsing
import torch
from compel import Compel, ReturnedEmbeddingsType

from common.errors import BadInput
from common.job import check_prompt
from worker.engine.errors import MACHINE_TROUBLE

#: What CLIP reads at once, its begin and end marks included.
CHUNK_TOKENS = 77

#: About 400 prompts of SDXL at fp16.
CACHE_BYTES = 256 << 20


@dataclass(frozen=True)
class TextEncoder:
    """One of a pipeline's encoders. `identity` changes with anything that changes its weights."""

    identity: Hashable
    tokenizer: Any
    model: Any
    pooled: bool


@dataclass(frozen=True)
class Encoding:
    """`embeds` is (1, 77 · n, width), `pooled` (1, projection) or None."""

    embeds: torch.Tensor
    pooled: torch.Tensor | None

    @property
    def chunks(self) -> int:
        return int(self.embeds.shape[1]) // CHUNK_TOKENS

    @property
    def bytes(self) -> int:
        tensors = [self.embeds] if self.pooled is None else [self.embeds, self.pooled]
        return sum(tensor.nbytes for tensor in tensors)


class PromptEncoder:
    """Encodes prompts and remembers the latest. Not safe for several threads."""

    def __init__(self) -> None:
        self.computed = 0
        self._cache: OrderedDict[Hashable, Encoding] = OrderedDict()

    def conditioning(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str] | None,
        encoders: Sequence[TextEncoder],
        *,
        truncate: bool,
        zeros_for_none: bool = True,
    ) -> dict[str, torch.Tensor]:
        """What a pipeline is called with: the encoders' embeddings side by side.

        `prompts` and `negatives` have one text for each encoder; where one of them takes more
        chunks than another, the others are lengthened. Without negative prompts there are no
        negative embeddings, and the pipeline makes its own: zeros or (not `zeros_for_none`) an
        encoded "". The latter it can make for one chunk only, so for more they are here.
        Raises BadInput.
        """
        positive = self._encodings(prompts, encoders, truncate)
        if negatives is None and not zeros_for_none and _chunks(positive) > 1:
            negatives = [""] * len(encoders)
        negative = self._encodings(negatives, encoders, truncate) if negatives else []
        chunks = _chunks([*positive, *negative])
        given = {
            "prompt_embeds": self._side_by_side(positive, chunks, encoders),
            "pooled_prompt_embeds": positive[-1].pooled,
        }
        if negative:
            given |= {
                "negative_prompt_embeds": self._side_by_side(negative, chunks, encoders),
                "negative_pooled_prompt_embeds": negative[-1].pooled,
            }
        return given

    def _encodings(
        self, texts: Sequence[str], encoders: Sequence[TextEncoder], truncate: bool
    ) -> list[Encoding]:
        pairs = zip(texts, encoders, strict=True)
        return [self._encode(text, encoder, truncate) for text, encoder in pairs]

    def _side_by_side(
        self, encodings: Sequence[Encoding], chunks: int, encoders: Sequence[TextEncoder]
    ) -> torch.Tensor:
        pairs = zip(encodings, encoders, strict=True)
        return torch.cat([self._padded(one, chunks, encoder) for one, encoder in pairs], dim=-1)

    def _padded(self, encoding: Encoding, chunks: int, encoder: TextEncoder) -> torch.Tensor:
        """Lengthened by the encoding of "", as compel pads."""
        missing = chunks - encoding.chunks
        if not missing:
            return encoding.embeds
        empty = self._encode("", encoder, truncate=False).embeds
        return torch.cat([encoding.embeds, *[empty] * missing], dim=1)

    def _encode(self, text: str, encoder: TextEncoder, truncate: bool) -> Encoding:
        key = (text, encoder.identity, truncate)
        if key not in self._cache:
            self._cache[key] = _encode(text, encoder, truncate)
            self.computed += 1
            self._shrink()
        self._cache.move_to_end(key)
        return self._cache[key]

    def _shrink(self) -> None:
        size = sum(encoding.bytes for encoding in self._cache.values())
        while size > CACHE_BYTES and len(self._cache) > 1:
            size -= self._cache.popitem(last=False)[1].bytes


def check_readable(text: str) -> None:
    """Refuse a prompt that could not be encoded, before anything is. Raises BadInput."""
    _parse(text)


def _chunks(encodings: Sequence[Encoding]) -> int:
    return max(encoding.chunks for encoding in encodings)


def _encode(text: str, encoder: TextEncoder, truncate: bool) -> Encoding:
    prompt = _parse(text)
    # A new object each time: compel keeps the embedding of "", and LoRAs change it.
    compel = Compel(
        tokenizer=encoder.tokenizer,
        text_encoder=encoder.model,
        truncate_long_prompts=truncate,
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        requires_pooled=encoder.pooled,
    )
    try:
        with torch.no_grad():
            encoding = _run(compel, prompt, text)
    except MACHINE_TROUBLE:
        raise
    except Exception as error:
        raise _unreadable(text, f"cannot be encoded ({_brief(error)})") from error
    if not torch.isfinite(encoding.embeds).all():
        raise _unreadable(text, "encodes to NaN; its weights are too large")
    return encoding


def _run(compel: Any, prompt: Any, text: str) -> Encoding:
    """What `compel(text)` does, with the text parsed once for both encoders' sake.

    Pooled embeddings are of the raw text, weights' syntax included, as compel has it.
    """
    embeds, _, _ = compel.build_conditioning_tensor_for_conjunction(
        prompt, return_tokenization=True
    )
    if not compel.requires_pooled:
        return Encoding(embeds, None)
    provider = compel.conditioning_provider
    return Encoding(embeds, provider.get_pooled_embeddings([text], device=compel.device))


@lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    """The prompt as compel's tree of weighted fragments. Raises BadInput."""
    for mistake in check_prompt(text):
        raise _unreadable(text, mistake)
    # Without it each nested parenthesis costs five times the one around it.
    pyparsing.ParserElement.enable_packrat(cache_size_limit=None)
    try:
        prompt = Compel.parse_prompt_string(text)
    except (Exception, RecursionError) as error:
        raise _unreadable(text, f"cannot be read ({_brief(error)})") from error
    if len(prompt.prompts) != 1:
        raise _unreadable(text, "has no words, or several prompts joined by .and()")
    if prompt.prompts[0].wants_cross_attention_control:
        raise _unreadable(text, "uses .swap(), which SDXL has not")
    return prompt


def _unreadable(text: str, why: str) -> BadInput:
    shown = text if len(text) <= 80 else f"{text[:77]}…"
    return BadInput(f"the prompt {shown!r} {why}", hint="escape a literal parenthesis as \\(")


def _brief(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
