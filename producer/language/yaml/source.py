"""The text of a batch file: UTF-8, of bounded size, and without control characters."""

from __future__ import annotations

import re

from producer.language.mistakes import Mistake

MAX_BYTES = 10_000_000

#: What neither YAML nor a terminal takes for text.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)


def decoded(data: str | bytes) -> str:
    """The file's text, without a byte order mark. Raises Mistake."""
    if len(data) > MAX_BYTES:
        raise Mistake("file-too-large", most=MAX_BYTES)
    text = (_utf8(data) if isinstance(data, bytes) else data).removeprefix("\ufeff")
    if character := UNPRINTABLE.search(text):
        line, column = _position(text, character.start())
        raise Mistake("file-not-text", line=line, column=column, character=character[0])
    return text


def unprintable(text: str) -> tuple[int, str] | None:
    """(line, character) of the first control character, if there is one."""
    character = UNPRINTABLE.search(text)
    return (_position(text, character.start())[0], character[0]) if character else None


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Mistake("file-not-utf-8", line=line, byte=data[error.start]) from None


def _position(text: str, index: int) -> tuple[int, int]:
    """(line, column), both counted from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
