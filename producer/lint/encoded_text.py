"""What a text encoder reads of a prompt: the words, without compel's weighting syntax.

A weighted group is encoded as if a space stood around it, so the syntax is replaced by spaces.
Exact for prompts as people write them; where parentheses stand inside a word of a group, or a
weight is glued to more text, it can differ from compel's own reading by a few characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from common.job import BLENDED, MAX_LENGTH, MAX_NESTING

_ESCAPED = re.compile(r"\\([()\"])")
#: Literal parentheses and quotes, while the others are looked for: a private-use character.
_ASIDE = {'"': "\ue022", "(": "\ue028", ")": "\ue029"}

_LITERAL = str.maketrans({aside: letter for letter, aside in _ASIDE.items()})
_SYNTAX = re.compile(r'[()"+-]')
_GLUED_COMMA = re.compile(r",(\S)")
_LORA_CALL = re.compile(r"(?:use|with)Lora\([^()]*\)")
_ATTEND = re.compile(r"\.attend\([^()]*\)")
_IN_A_WORD = re.compile(r"""(?<=[^\s\d()",+-])\(([^()]*)\)""")
_WEIGHT = r"(?:\++|-+|\d*\.\d+|\d+\.?)?"
_QUOTED = re.compile(rf'(?<!\w)"([^"]*)"{_WEIGHT}')
_GROUP = re.compile(rf"\(([^()]*)\){_WEIGHT}")
_WEIGHTED_WORD = re.compile(r"""(?<=[^\s()",.=+-])(?:\++|-+)(?=[\s()",.=]|$)""")
_STOP = re.compile(r"[.,]")
_BLEND = re.compile(r"\s*\((.*)\)\s*\.blend\s*\([^()]*\)\s*", re.DOTALL)


def encoded_texts(prompt: str) -> tuple[str, ...]:
    """The texts that are encoded: one, or for `("one", "two").blend(…)` each of the blend.

    Of a prompt longer than MAX_LENGTH, which is refused elsewhere, only so much is looked at.
    """
    aside = _ESCAPED.sub(lambda escaped: _ASIDE[escaped[1]], prompt[:MAX_LENGTH])
    blend = _BLEND.fullmatch(aside)
    texts = _parts(blend[1]) if blend else [aside]
    if blend and not all(map(BLENDED.fullmatch, texts)):
        texts = [aside]
    return tuple(map(_plain, texts))


def _parts(group: str) -> list[str]:
    """The texts between a blend's commas, those inside quotes and inner groups left alone."""
    commas, depth, quoted = [-1], 0, False
    for position, letter in _marks(group):
        quoted ^= letter == '"'
        if not quoted:
            depth += (letter == "(") - (letter == ")")
            commas += [position] if letter == "," and depth == 0 else []
    ends = [*commas[1:], len(group)]
    return [group[comma + 1 : end] for comma, end in zip(commas, ends, strict=True)]


def _marks(group: str) -> Iterator[tuple[int, str]]:
    yield from ((mark.start(), mark[0]) for mark in re.finditer(r'[(),"]', group))


def _plain(text: str) -> str:
    text = _GLUED_COMMA.sub(r", \1", text)
    if not _SYNTAX.search(text):
        return text.translate(_LITERAL)
    text = _ATTEND.sub("", _LORA_CALL.sub(" ", text))
    text = _IN_A_WORD.sub(rf"{_ASIDE['(']}\1{_ASIDE[')']}", text)
    text = _QUOTED.sub(_inside, text)
    for _ in range(MAX_NESTING):
        text, groups = _GROUP.subn(_inside, text)
        if not groups:
            break
    return _WEIGHTED_WORD.sub("", text).translate(_LITERAL)


def _inside(group: re.Match[str]) -> str:
    """A group's text. compel takes the full stops and commas in it for words of their own."""
    return _STOP.sub(r" \g<0> ", f" {group[1]} ")
