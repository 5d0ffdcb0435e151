"""`{animal}` in a prompt: filled in with the cell's words. `{{` and `}}` are literal braces.

Words may hold words. Braces around anything but a name (`{a|b}`) are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.errors import GridfarmError

#: Characters of a filled-in prompt: what the encoders' parser is given at most.
MAX_FILLED = 20_000

WORD_NAME = re.compile(r"[^\W\d]\w{0,99}")
_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[^\W\d]\w{0,99})\}")
_BRACES = {"{{": "{", "}}": "}"}


def names_in(text: str) -> list[str]:
    """The words that `text` asks for, in order, each once."""
    return [*dict.fromkeys(m["name"] for m in _PIECE.finditer(text) if m["name"])]


def fill(text: str, words: Mapping[str, str]) -> str:
    """`text` with its words filled in. Raises GridfarmError for an unknown word, for words that
    go round in a circle, and beyond MAX_FILLED characters."""
    if "{" not in text and "}" not in text:
        return text
    return _Filler(words).fill(text)


class _Filler:
    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._filled: dict[str, str | None] = {}

    def fill(self, text: str) -> str:
        left = MAX_FILLED + len(text)  # what the names take is given back

        def piece(found: re.Match[str]) -> str:
            nonlocal left
            filled = _BRACES.get(found[0]) or self._word(found["name"])
            left -= len(filled)
            return filled if left >= 0 else ""

        filled = _PIECE.sub(piece, text)
        if left < 0 or len(filled) > MAX_FILLED:
            raise GridfarmError(
                f"the words of {text[:60]!r} make a prompt of more than {MAX_FILLED:,} characters",
                hint="shorten the words",
            )
        return filled

    def _word(self, name: str) -> str:
        if name not in self._words:
            raise GridfarmError(f"there is no word {{{name}}}", hint="double literal braces")
        if name not in self._filled:
            self._filled[name] = None
            self._filled[name] = self.fill(self._words[name])
        filled = self._filled[name]
        if filled is None:
            raise GridfarmError(f"the word {{{name}}} is made of itself", hint="end the circle")
        return filled
