"""`python -m tests.tiny_world.sheet FOLDER FILE.png`: prompts down, seeds across.

A mark in the corner says what the judge does: green for right in every word, red for not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from tests.tiny_world.evaluate import pictures, scenes
from tests.tiny_world.judge import verdict
from worker.tiny.world.scene import Scene

SEEDS, MARK = 8, 6
RIGHT, NOT = (40, 170, 60), (220, 40, 40)


def marked(picture: np.ndarray, wish: Scene) -> np.ndarray:
    """With the judge's mark at its lower right corner."""
    right = all(verdict(picture, wish).values())
    picture = picture.copy()
    picture[-MARK:, -MARK:] = RIGHT if right else NOT
    return picture


def sheet(pipe: StableDiffusionXLPipeline, guidance: float = 5.0) -> Image.Image:
    """Six trained combinations, three that were held out, three pairs."""
    wishes = [*scenes("trained", 6), *scenes("held out", 3), *scenes("pairs", 3)]
    repeated = [wish for wish in wishes for _ in range(SEEDS)]
    drawn = pictures(pipe, repeated, guidance)
    cells = np.stack([marked(p, w) for p, w in zip(drawn, repeated, strict=True)])
    rows = cells.reshape(len(wishes), SEEDS, 128, 128, 3)
    return Image.fromarray(rows.transpose(0, 2, 1, 3, 4).reshape(len(wishes) * 128, -1, 3))


if __name__ == "__main__":
    torch.set_num_threads(2)
    loaded = StableDiffusionXLPipeline.from_pretrained(Path(sys.argv[1]), dtype=torch.float32)
    sheet(loaded).save(sys.argv[2])
