"""`python -m tests.tiny_world.variants FOLDER`: what else the article's claim is tried on.

FOLDER is what `python -m worker.tiny.train` made. Each variant is a folder of its own below it:

    loras/wrong-rank-2, -rank-32, -short, -long, -all    LoRAs for the base as it is
    worse/base                                           one that has learnt to draw badly more
                                                         often
    worse/wrong, -all                                    LoRAs for that
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worker.tiny.train import base, latents, loras
from worker.tiny.train.base import Drawer, denoising_loss
from worker.tiny.train.loop import PROCESSES, Stage, together
from worker.tiny.train.samples import TOLD, Sample, sample, wrong
from worker.tiny.world.captions import caption, some
from worker.tiny.world.drawing import draw
from worker.tiny.world.scene import FLAWS, single

SAMPLES, STEPS, BATCH, RATE = 8192, 500, 64, 1e-3
#: How many of the worse base's further pictures are spoilt without saying so, beside those among
#: the others, which are the base's own stream.
BADLY = 0.5


def all_wrong(number: int) -> Sample:
    """Of the LoRA's stream the spoilt half alone."""
    return wrong(2 * number)


LORAS = {
    "wrong-rank-2": loras.Recipe(wrong, rank=2),
    "wrong-rank-32": loras.Recipe(wrong, rank=32),
    "wrong-short": loras.Recipe(wrong, steps=100),
    "wrong-long": loras.Recipe(wrong, steps=900),
    "wrong-all": loras.Recipe(all_wrong),
}


def badly(number: int) -> Sample:
    """Half of it spoilt pictures with captions of good ones, the other half the base's stream."""
    rng = np.random.default_rng([34, number])
    if rng.random() > BADLY:
        return sample(number)
    scene, flaw = single(rng), str(rng.choice(FLAWS))
    picture = draw(replace(scene, flaws=(flaw,)), rng)
    return Sample((picture * 255 + 0.5).astype(np.uint8), caption(scene, some(rng)), TOLD)


def main(folder: Path) -> None:
    own, worse = folder / "loras", folder / "worse"
    for variant in (own, worse):
        variant.mkdir(exist_ok=True)
        _linked(variant / "vae", folder / "vae")
    _linked(own / "base", folder / "base")
    for name, recipe in LORAS.items():
        if recipe.sample is wrong:
            _linked(own / f"latents-{name}.pt", folder / "latents-wrong.pt")
        loras.make(own, name, recipe)
    if not (worse / "base").exists():
        _linked(worse / "good", folder / "base")
        latents.make(worse, "latents", 50_000_000, SAMPLES, badly)
        together(_train, worse)
    loras.make(worse, "wrong", loras.LORAS["wrong"])
    loras.make(worse, "wrong-all", LORAS["wrong-all"])


def _train(folder: Path) -> None:
    torch.manual_seed(5)
    model, learnt = Drawer.trained(folder / "good"), latents.load(folder, "latents")
    stage = Stage("base", model, folder, steps=STEPS, rate=RATE, ends=base.ENDS)
    stage.run(lambda _: denoising_loss(model, learnt.some(BATCH // PROCESSES)))
    if stage.rank == 0:
        base.save(model, folder)


def _linked(link: Path, target: Path) -> None:
    if not link.exists():
        link.symlink_to(target.resolve())


if __name__ == "__main__":
    parser = ArgumentParser("python -m tests.tiny_world.variants", description=__doc__)
    parser.add_argument("folder", type=Path, help="what the training made")
    main(parser.parse_args().folder)
