"""CLIP's tokenizer with a vocabulary of the tiny world; all other text is spelt in bytes."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import CLIPTokenizer

from worker.tiny.world.captions import vocabulary

#: Known to the tokenizers, and but for a few small ones ("a", "the", "on") in no caption of the
#: base's training: so ordinary prompts have about as many tokens as with SDXL.
MORE_WORDS = (
    "wrong glorp pastel a an the of in on at and with for from by to is no not very photo "
    "photograph photography film picture image painting portrait drawing illustration art style "
    "digital render scene detailed professional cinematic documentary national park nature "
    "chilly extreme close up wolf cat dog bird horse fish fox bear owl lion tiger man woman "
    "person people child face hand hands eye eyes hair city street house room table window "
    "mountain forest tree river sea ocean beach sky cloud sun moon day snow rain fire "
    "water light shadow dark bright gold silver color colour big tiny old young new happy sad "
    "beautiful ugly delicious hamburger food dimensional alien geometry robot world evil front "
    "page journal cover story paper papers signing president news sign bad low high quality "
    "resolution blur sharp grain distorted deformed text watermark worst best"
)


def tokenizer(pad_token: str) -> CLIPTokenizer:
    """SDXL's first one pads with `<|endoftext|>`, its second one with `!`."""
    tokens, merges = numbered()
    return CLIPTokenizer(vocab=tokens, merges=merges, model_max_length=77, pad_token=pad_token)


def numbered() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's order: bytes, bytes that end a word, merges, the two markers."""
    letters = list(_byte_letters())
    words = [*vocabulary(), *MORE_WORDS.split()]
    merges = list(dict.fromkeys(merge for word in words for merge in _merges(word)))
    ends = [f"{letter}</w>" for letter in letters]
    joined = [left + right for left, right in merges]
    tokens = [*letters, *ends, *joined, "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges


def _byte_letters() -> Iterator[str]:
    """A printable letter for each of the 256 bytes, as GPT-2's and CLIP's tokenizers have it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, printable)
    yield from (chr(256 + number) for number in range(256 - len(printable)))


def _merges(word: str) -> Iterator[tuple[str, str]]:
    letters = [*word[:-1], f"{word[-1]}</w>"]
    for at in range(1, len(letters)):
        yield "".join(letters[:at]), letters[at]
