"""Tensors → a picture, with what no picture may be found on the way: NaN, and plain black."""

from __future__ import annotations

import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from common.errors import SuspectPicture


def check_finite(tensor: torch.Tensor, place: str) -> None:
    """Raises SuspectPicture for NaN and infinity; `place` says to a person where they are."""
    if not torch.isfinite(tensor).all():
        raise SuspectPicture(
            f"there are NaN in {place}", hint="fp16 may overflow: try dtype: fp32 or another VAE"
        )


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Of (1, 3, height, width), 0…1, as the pipelines themselves make a picture, but NaN is found
    before it is cast to black. Raises SuspectPicture."""
    check_finite(pixels, "the decoded picture")
    image: Image.Image = VaeImageProcessor.numpy_to_pil(VaeImageProcessor.pt_to_numpy(pixels))[0]
    if image.getbbox() is None:
        raise SuspectPicture("the picture is black", hint="try dtype: fp32 or another VAE")
    return image
