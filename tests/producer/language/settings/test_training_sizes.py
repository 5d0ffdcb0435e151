"""SDXL's training sizes: the table is the paper's, and the nearest has the same proportions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.language.settings import note_on_size
from producer.language.settings.training_sizes import TRAINING_SIZES, Size, nearest_training_size

#: The third column of the paper's table, which is printed beside height and width.
HEIGHT_BY_WIDTH_RATIOS = (
    "0.25 0.26 0.27 0.28 0.32 0.33 0.35 0.4 0.42 0.48 0.5 0.52 0.57 0.6 0.68 0.72 0.78 0.82 0.88 "
    "0.94 1.0 1.07 1.13 1.21 1.29 1.38 1.46 1.67 1.75 2.0 2.09 2.4 2.5 2.89 3.0 3.11 3.62 3.75 "
    "3.88 4.0"
)


def test_the_table_is_the_papers() -> None:
    """Forty sizes in multiples of 64, as near to 1024² pixels as those get, and every aspect
    ratio (height by width) as the paper prints it."""
    ratios = [str(round(height / width, 2)) for width, height in TRAINING_SIZES]
    assert ratios == HEIGHT_BY_WIDTH_RATIOS.split()
    assert all(side % 64 == 0 for size in TRAINING_SIZES for side in size)
    assert all(0.87 < width * height / 1024**2 <= 1 for width, height in TRAINING_SIZES)


def test_all_but_one_have_both_orientations() -> None:
    alone = {size for size in TRAINING_SIZES if size[::-1] not in TRAINING_SIZES}
    assert alone == {(1344, 704)}


@pytest.mark.parametrize("size", TRAINING_SIZES, ids=lambda size: "x".join(map(str, size)))
def test_a_training_size_is_its_own_nearest_and_needs_no_note(size: Size) -> None:
    assert nearest_training_size(*size) == size
    assert note_on_size(*size) is None


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((512, 512), (1024, 1024)),
        ((2048, 2048), (1024, 1024)),
        ((1920, 1080), (1344, 768)),
        ((1080, 1920), (768, 1344)),
        ((768, 512), (1216, 832)),
        ((512, 768), (832, 1216)),
        ((8192, 64), (2048, 512)),
        ((64, 8192), (512, 2048)),
    ],
    ids=["SD 1.5", "twice", "HD", "HD upright", "3:2", "2:3", "widest", "highest"],
)
def test_the_nearest_has_the_nearest_proportions(size: Size, nearest: Size) -> None:
    assert nearest_training_size(*size) == nearest
    assert note_on_size(*size) == (
        f"{size[0]}x{size[1]} is outside SDXL's training sizes; "
        f"the nearest is {nearest[0]}x{nearest[1]}"
    )


SIDES = st.integers(min_value=8, max_value=1024).map(lambda eighth: 8 * eighth)


@given(SIDES, SIDES)
def test_none_is_nearer(width: int, height: int) -> None:
    """Whatever the size, no other training size has to be stretched less."""

    def stretch(size: Size) -> float:
        factor = (size[0] / size[1]) / (width / height)
        return max(factor, 1 / factor)

    nearest = nearest_training_size(width, height)
    assert stretch(nearest) <= min(map(stretch, TRAINING_SIZES)) * (1 + 1e-9)
