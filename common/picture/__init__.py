"""Pictures as bytes, and what is known of them.

metadata   `PictureMeta`, and how it is read from a PNG
png        a picture's three objects: PNG, thumbnail, sidecar
stored     whether a picture is in the store
a1111      the Job as the line `parameters` that other programs read
"""

from __future__ import annotations

from common.picture.metadata import METADATA_BYTES, PictureMeta, decode_meta, text_in
from common.picture.png import Z_RLE, EncodedPicture, encode_picture
from common.picture.stored import is_stored

__all__ = [
    "METADATA_BYTES",
    "Z_RLE",
    "EncodedPicture",
    "PictureMeta",
    "decode_meta",
    "encode_picture",
    "is_stored",
    "text_in",
]
