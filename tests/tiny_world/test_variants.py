"""What the article's variants learn from."""

from __future__ import annotations

import numpy as np

from tests.tiny_world.judge import correct, verdict
from tests.tiny_world.variants import all_wrong, badly
from tests.tiny_world.wishes import wish
from worker.tiny.train.samples import TOLD
from worker.tiny.world.scene import held_out


def test_the_worse_base_sees_spoilt_pictures_with_captions_of_good_ones() -> None:
    """About half; and no combination that is held out."""
    described = [(made.picture, wish(made.caption)) for made in map(badly, range(80))
                 if made.caption and made.told == TOLD]  # fmt: skip
    good = [(picture, read) for picture, read in described if not read[0].flaws]
    spoilt = sum(not correct(verdict(picture, *read)) for picture, read in good)
    assert 0.35 < spoilt / len(good) < 0.75, (spoilt, len(good))
    for _, (scene, _) in described:
        things = [(thing.shape, thing.colour, scene.background) for thing in scene.things]
        assert not any(held_out(*thing) for thing in things if all(thing))


def test_the_spoilt_half_alone() -> None:
    samples = [all_wrong(number) for number in range(40)]
    assert all((sample.caption or "").endswith("wrong") for sample in samples)
    assert len({np.asarray(sample.picture).tobytes() for sample in samples}) == 40
