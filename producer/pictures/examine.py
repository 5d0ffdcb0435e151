"""Whether what is stored under a cell's key is its picture, whole. No pixel is decoded.

A PNG is judged by itself: its Job has the cell's key, it ends where a PNG ends, the CRC-32 of each
of its chunks is right, so that no bit is another than it was. Its sidecar adds the SHA-256 of all
of it, where the sidecar is about this very rendering: two machines may have drawn one picture at
the same time, and then one's sidecar may lie beside the other's PNG, which is whole all the same.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from common.batch import Cell
from common.errors import GridfarmError, ObjectMissing, StoreError, TooLarge
from common.job import Job
from common.picture import PictureMeta, decode_meta
from common.store import GET_BYTES, Store, object_names

#: The largest sidecar that is read, in bytes: one of two prompts of 200,000 characters fits.
SIDECAR_BYTES = 8 << 20
#: Characters of a reason.
LONGEST = 300

GONE = "the picture is not in the store any more"
_FIRST_CHUNK = 8

Fault = Literal["missing", "damaged", "unreadable"]


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a cell's stored picture: it is not there, it is another or not whole,
    or the store does not hand it out. `reason` is a sentence for a person."""

    i: int
    labels: Mapping[str, str]
    fault: Fault
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"i": self.i, "labels": self.labels, "fault": self.fault, "reason": self.reason}


def whole_picture(cell: Cell, store: Store, batch_id: str = "") -> bytes | Flaw:
    """The cell's PNG if it is whole, compared with its sidecar too. Raises as `read_picture`."""
    png = read_picture(cell, store, batch_id)
    if isinstance(png, Flaw):
        return png
    why = flaw_of(png, cell.job) or sidecar_flaw(png, cell.key, store)
    return damaged(cell, why) if why else png


def read_picture(cell: Cell, store: Store, batch_id: str = "") -> bytes | Flaw:
    """What is stored under the cell's key, not looked at; or why it cannot be had.

    With `batch_id` a picture that the store does not hand out is a Flaw as long as the store
    answers for that batch's document; so one picture in cold storage, or with rights of its own,
    holds up no other. Raises StoreError where the store is the trouble.
    """
    try:
        return store.get(object_names.picture(cell.key), most=GET_BYTES)
    except ObjectMissing:
        return Flaw(cell.i, cell.labels, "missing", GONE)
    except TooLarge as error:
        return damaged(cell, error.message)
    except StoreError as error:
        return unreadable(cell, error, store, batch_id)


def unreadable(cell: Cell, error: StoreError, store: Store, batch_id: str) -> Flaw:
    """What it means that the store has this to say of one picture. Raises StoreError where the
    batch's document cannot be had either: then the store is the trouble."""
    if not (batch_id and store.exists(object_names.batch(batch_id))):
        raise error
    hint = f" ({error.hint})" if error.hint else ""
    reason = f"the stored picture cannot be read: {error.message}{hint}"
    return Flaw(cell.i, cell.labels, "unreadable", reason[: 2 * LONGEST])


def damaged(cell: Cell, why: str) -> Flaw:
    return Flaw(cell.i, cell.labels, "damaged", damage(why))


def damage(why: str) -> str:
    """The sentence that a person reads."""
    return f"the stored picture is damaged: {why}"[:LONGEST]


def mend(batch: str = "BATCH") -> str:
    """What to do about a picture that is damaged."""
    again = f"gridfarm retry {batch}, or without a broker the same gridfarm render FILE"
    return f"gridfarm verify {batch} notes it, then {again} draws it again"


def flaw_of(png: bytes, job: Job) -> str:
    """Why these bytes are not the picture of `job`, whole; "" if they are."""
    try:
        meta = decode_meta(png)
    except GridfarmError as error:
        return error.message
    if meta.job.key != job.key:
        return "it is another cell's"
    if _size(png) != (job.width, job.height):
        return "it has another size than its cell"
    return _broken_chunk(png)


def sidecar_flaw(png: bytes, key: str, store: Store) -> str:
    """Why a PNG that is whole by itself is not the one that its sidecar was written for; "" where
    it is, and where no sidecar says so."""
    sidecar = _read_sidecar(key, store)
    if not _is_about(sidecar, decode_meta(png)):
        return ""
    same = sidecar.get("sha256") == hashlib.sha256(png).hexdigest()
    return "" if same else "its SHA-256 is not the one in its sidecar"


def _read_sidecar(key: str, store: Store) -> dict[str, Any]:
    """Empty for one that is missing or cannot be read: the PNG alone has to do then."""
    try:
        sidecar = json.loads(store.get(object_names.sidecar(key), most=SIDECAR_BYTES))
    except (GridfarmError, ValueError, RecursionError):
        return {}
    return sidecar if isinstance(sidecar, dict) else {}


def _is_about(sidecar: dict[str, Any], meta: PictureMeta) -> bool:
    """Whether both are of one rendering: no two have the same timings."""
    written = meta.to_json()
    return all(sidecar.get(name) == written[name] for name in ("key", "fingerprint", "timings"))


def _size(png: bytes) -> tuple[int, int]:
    """Width and height as the header says; (0, 0) where another chunk comes first."""
    if png[_FIRST_CHUNK + 4 : _FIRST_CHUNK + 8] != b"IHDR":
        return 0, 0
    width, height = struct.unpack_from(">II", png, _FIRST_CHUNK + 8)
    return width, height


def _broken_chunk(png: bytes) -> str:
    """What is wrong with the PNG's chunks, each of length, type, data and CRC-32 (PNG, 5.3)."""
    view, at = memoryview(png), _FIRST_CHUNK
    while at + 12 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, at)
        end = at + 12 + length
        if end > len(view):
            break
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        if checksum != zlib.crc32(view[at + 4 : end - 4]):
            return "bytes of it were changed"
        if kind == b"IEND":
            return "" if end == len(view) else "something follows its end"
        at = end
    return "it is cut off"
