"""The sizes that SDXL was trained on.

Source: Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image
Synthesis" (arXiv 2307.01952), appendix I: 40 buckets of about 1024² pixels, listed there as
height and width. Here they are width and height, as everywhere in gridfarm.
"""

from __future__ import annotations

import math

Size = tuple[int, int]

_WIDTHS_BY_HEIGHT: tuple[tuple[int, tuple[int, ...]], ...] = (
    (512, (2048, 1984, 1920, 1856)),
    (576, (1792, 1728, 1664)),
    (640, (1600, 1536)),
    (704, (1472, 1408, 1344)),
    (768, (1344, 1280)),
    (832, (1216, 1152)),
    (896, (1152, 1088)),
    (960, (1088, 1024)),
    (1024, (1024, 960)),
    (1088, (960, 896)),
    (1152, (896, 832)),
    (1216, (832,)),
    (1280, (768,)),
    (1344, (768,)),
    (1408, (704,)),
    (1472, (704,)),
    (1536, (640,)),
    (1600, (640,)),
    (1664, (576,)),
    (1728, (576,)),
    (1792, (576,)),
    (1856, (512,)),
    (1920, (512,)),
    (1984, (512,)),
    (2048, (512,)),
)

#: (width, height) in pixels, widest first. All but one stand here on their side too: the table has
#: 1344x704 and not 704x1344.
TRAINING_SIZES: tuple[Size, ...] = tuple(
    (width, height) for height, widths in _WIDTHS_BY_HEIGHT for width in widths
)


def nearest_training_size(width: int, height: int) -> Size:
    """The training size whose proportions are most like those of `width` × `height` pixels.

    Proportions are compared as ratios, so twice as wide is as far off as twice as high.
    """

    def distance(size: Size) -> float:
        return abs(math.log(size[0] * height / (size[1] * width)))

    return min(TRAINING_SIZES, key=distance)


def note_on_size(width: int, height: int) -> str | None:
    """What a person should know of a size in pixels; None for a training size."""
    if (width, height) in TRAINING_SIZES:
        return None
    nearest = "x".join(map(str, nearest_training_size(width, height)))
    return f"{width}x{height} is outside SDXL's training sizes; the nearest is {nearest}"
