"""What is known of a picture, and how a PNG's bytes are read for it: no pixel is decoded.

A picture's PNG carries it as a text before the pixels, in a chunk iTXt with the keyword `gridfarm`:
JSON {version, key, job, fingerprint, timings}.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, FiniteFloat, JsonValue, ValidationError, field_validator

from common.errors import GridfarmError
from common.job import Job

#: Of the `gridfarm` text. Raised when a reader of the old one would misread the new one.
VERSION = 1

KEYWORD = "gridfarm"
#: The longest text read: two prompts of 200,000 characters, each escaped to six bytes, fit.
METADATA_BYTES = 4 << 20

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class PictureMeta:
    """What is known of a picture: its Job, what rendered it, and seconds by phase."""

    job: Job
    fingerprint: dict[str, JsonValue]
    timings: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "key": self.job.key,
            "job": self.job.to_json(),
            "fingerprint": self.fingerprint,
            "timings": self.timings,
        }


class _Written(BaseModel):
    """The `gridfarm` text as another machine wrote it; what a later version adds is ignored."""

    version: Literal[1]
    key: str
    job: Job
    fingerprint: dict[str, JsonValue]
    timings: dict[str, FiniteFloat]

    @field_validator("fingerprint")
    @classmethod
    def _can_be_written_again(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(value, allow_nan=False)  # a ValueError for NaN and 1e999
        return value


def dump(data: dict[str, Any]) -> str:
    """The JSON of metadata as it is written: compact, and no NaN."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def decode_meta(png: bytes) -> PictureMeta:
    """What `encode_picture` wrote into a PNG. No pixel is decoded and nothing is decompressed.

    Raises GridfarmError for what is no PNG of gridfarm's, or was changed on its way.
    """
    try:
        written = _Written.model_validate_json(_gridfarm_text(png))
        key = written.job.key
    except ValueError as error:  # also of RFC 8785, for numbers that JSON does not carry
        raise GridfarmError(
            f"the picture's metadata cannot be read: {_first_mistake(error)}",
            hint="it may be from another gridfarm version, or was changed",
        ) from error
    if written.key != key:
        raise GridfarmError(
            f"the picture's metadata was changed: its Job has the key {key},"
            f" not {written.key[:64]!r}"
        )
    return PictureMeta(written.job, written.fingerprint, written.timings)


def _first_mistake(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"{error}"[:200]
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "its JSON"
    return f"{place[:100]}: {first['msg'][:100]}"


def _gridfarm_text(png: bytes) -> bytes:
    text = text_in(png, KEYWORD)
    if text is None:
        raise GridfarmError(
            "the picture carries no gridfarm metadata",
            hint="only PNGs that gridfarm stored, unchanged, know their Job",
        )
    return text


def text_in(png: bytes, keyword: str) -> bytes | None:
    """The text of that keyword before a PNG's pixels, as somebody wrote it; None without one. The
    beginning of a file suffices, up to the pixels. Raises GridfarmError for what is no PNG."""
    for kind, data in _chunks(png):
        word, _, rest = data.partition(b"\0")
        if kind == b"iTXt" and word == keyword.encode():
            return _plain_text(rest)
    return None


def _plain_text(rest: bytes) -> bytes:
    """The text of an iTXt chunk behind its keyword (PNG specification, 11.3.3.4)."""
    compressed, texts = rest[:2] != b"\0\0", rest[2:].split(b"\0", 2)
    if compressed or len(texts) != 3:
        raise GridfarmError("the picture's metadata is not in the form that gridfarm writes")
    return texts[2]


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of each chunk up to the pixels: length, type, data, CRC-32 (PNG, 5.3)."""
    if not png.startswith(SIGNATURE):
        raise GridfarmError("this is not a PNG")
    view, position = memoryview(png), len(SIGNATURE)
    while position + 12 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, position)
        if kind in (b"IDAT", b"IEND"):
            return
        data = view[position + 8 : position + 8 + length]
        position += 12 + length
        if position > len(view) or length > METADATA_BYTES:
            break
        (checksum,) = struct.unpack_from(">I", view, position - 4)
        if checksum != zlib.crc32(data, zlib.crc32(kind)):
            break
        yield kind, bytes(data)
    raise GridfarmError("the PNG is damaged", hint="fetch or render it again")
