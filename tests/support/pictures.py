"""A Job, an image and what is known of a picture, for tests of the picture's bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from common.job import Job
from common.picture import PictureMeta
from common.picture.metadata import SIGNATURE

SDXL = f"stabilityai/stable-diffusion-xl-base-1.0@{'a' * 40}"
REFINER = f"stabilityai/stable-diffusion-xl-refiner-1.0@{'b' * 40}"


def a_job(**changes: Any) -> Job:
    plain = {"model": SDXL, "dtype": "fp16", "prompt": "a wolf", "seed": 7}
    return Job(**plain | {"width": 64, "height": 64, "steps": 50, "guidance_scale": 13} | changes)


def a_meta(**changes: Any) -> PictureMeta:
    return PictureMeta(a_job(**changes), {"device": "NVIDIA L4", "torch": "2.13.0"}, {"base": 1.25})


def an_image(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def as_if_rendered(key: str) -> bytes:
    """What makes a store's object pass for the picture of this key, where nobody looks at it."""
    return SIGNATURE + b'iTXtgridfarm\0\0\0\0\0{"version":1,"key":"' + key.encode() + b'"'
