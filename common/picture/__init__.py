"""TODO."""

from __future__ import annotations

from common.picture import png
from common.picture.png import Z_RLE, EncodedPicture, PictureMeta, decode_meta

__all__ = [
    "Z_RLE",
    "EncodedPicture",
    "PictureMeta",
    "decode_meta",
    "png",
]
