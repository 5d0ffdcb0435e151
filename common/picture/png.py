"""A picture as bytes: PNG with its Job inside, thumbnail, sidecar; and back to its metadata.

The PNG carries two texts, both before the pixels:

    gridfarm     iTXt: JSON {version, key, job, fingerprint, timings}
    parameters   the line that AUTOMATIC1111's web UI writes, for the readers that know it
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category

from pydantic import BaseModel, FiniteFloat, JsonValue, ValidationError, field_validator

from common.errors import GridfarmError
from common.job import SCHEDULER_NAMES, Job, ModelRef, SchedulerUse, parse_scheduler

if TYPE_CHECKING:
    from PIL.Image import Image

#: Of the `gridfarm` text. Raised when a reader of the old one would misread the new one.
VERSION = 1

KEYWORD = "gridfarm"
#: The longest text read: two prompts of 200,000 characters, each escaped to six bytes, fit.
METADATA_BYTES = 4 << 20

THUMBNAIL_SIDE = 320
#: zlib's strategy made for PNG: on photographs at least as fast as level 1 and 10–25% smaller
#: (measured with Pillow at 1024×1024: 67–77 ms against 66–125; level 6 takes 231–325).
Z_RLE = 3

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


@dataclass(frozen=True)
class EncodedPicture:
    """The three objects of a finished cell, as `common.store.object_names` calls them."""

    png: bytes
    thumbnail: bytes
    sidecar: bytes


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


def encode(image: Image, meta: PictureMeta) -> EncodedPicture:
    """The picture's objects. The PNG keeps every pixel, and `image` stays as it was."""
    png = encode_png(image, meta)
    return EncodedPicture(png, encode_thumbnail(image), encode_sidecar(png, meta))


def encode_png(image: Image, meta: PictureMeta) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_itxt(KEYWORD, _dump(meta.to_json()))
    texts.add_text("parameters", parameters_text(meta.job))
    file = BytesIO()
    # Saving writes encoder settings into the Image, which another thread may be saving too.
    image.copy().save(file, "PNG", pnginfo=texts, compress_level=1, compress_type=Z_RLE)
    return file.getvalue()


def encode_thumbnail(image: Image) -> bytes:
    """WebP, the longest side at most THUMBNAIL_SIDE pixels."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = BytesIO()
    small.save(file, "WEBP", quality=80, method=2)
    return file.getvalue()


def encode_sidecar(png: bytes, meta: PictureMeta) -> bytes:
    """The JSON of the `gridfarm` text, and the PNG's SHA-256."""
    return _dump(meta.to_json() | {"sha256": hashlib.sha256(png).hexdigest()}).encode()


def _dump(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def decode_meta(png: bytes) -> PictureMeta:
    """What `encode` wrote into a PNG. No pixel is decoded and nothing is decompressed.

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
    for kind, data in _chunks(png):
        keyword, _, rest = data.partition(b"\0")
        if kind == b"iTXt" and keyword == KEYWORD.encode():
            return _plain_text(rest)
    raise GridfarmError(
        "the picture carries no gridfarm metadata",
        hint="only PNGs that gridfarm stored, unchanged, know their Job",
    )


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


def parameters_text(job: Job) -> str:
    """The Job as AUTOMATIC1111's web UI writes it: the prompts, then one line of settings.

    Readers split that line at "," and ":", so no value has either, but for the flat JSON of
    `Hashes`. They also look for "Negative prompt:" and for a line that begins with "Steps:",
    so a prompt has no line breaks here and not the first of these.
    """
    lines = [_prompt(job.prompt)]
    if job.negative_prompt:
        lines.append(f"Negative prompt: {_prompt(job.negative_prompt)}")
    settings = ", ".join(f"{name}: {_value(value)}" for name, value in _settings(job).items())
    hashes = _hashes(job)
    return "\n".join([*lines, settings + (f", Hashes: {json.dumps(hashes)}" if hashes else "")])


def _settings(job: Job) -> dict[str, str]:
    settings = {
        "Steps": f"{job.steps}",
        "Sampler": _sampler(job.scheduler) if job.scheduler else "default",
        "CFG scale": f"{job.guidance_scale:g}",
        "Seed": f"{job.seed}",
        "Size": f"{job.width}x{job.height}",
        "Model": _model_name(job.model),
    }
    if job.vae:
        settings["VAE"] = _model_name(job.vae)
    if job.refiner:
        settings["Refiner"] = _model_name(job.refiner.model)
        settings["Refiner switch at"] = f"{job.high_noise_frac:g}"
    return settings | {"Version": "gridfarm"}


def _hashes(job: Job) -> dict[str, str]:
    """Files by the first ten digits of their SHA-256, as the web UI and its sites know them."""
    hashes = {f"lora:{use.sha256[:10]}": use.sha256[:10] for use in job.loras}
    if job.model.kind == "file":
        hashes["model"] = _model_name(job.model)
    return hashes


def _sampler(use: SchedulerUse) -> str:
    return _sampler_names().get(_identity(use), use.type)


@cache
def _sampler_names() -> dict[Hashable, str]:
    parsed = {name: parse_scheduler(name) for name in reversed(SCHEDULER_NAMES)}
    return {_identity(use): name for name, use in parsed.items() if use}


def _identity(use: SchedulerUse) -> Hashable:
    return use.type, frozenset(use.options.items())


def _model_name(ref: ModelRef) -> str:
    """`owner/name@commit` → `name`; `file:<sha256>` → its first ten digits."""
    return ref.sha256[:10] or ref.short_name.rpartition("/")[2]


def _prompt(text: str) -> str:
    """White space as single spaces, which to CLIP's tokenizers is the same; no control
    characters, which a PNG's text may not hold."""
    words = "".join(char for char in " ".join(text.split()) if category(char) != "Cc")
    return words.replace("Negative prompt:", "Negative prompt")


def _value(text: str) -> str:
    return text.replace(",", " ").replace(":", " ")
