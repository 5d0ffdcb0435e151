"""`python -m tests.tiny_world.sheet FOLDER FILE.png`: what a base draws, for the model card.

A row for each prompt, seeds across. The line below a picture says what the judge does: green
for right in every word, red for not.
"""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image, ImageDraw, ImageFont

from tests.tiny_world.evaluate import base, pictures, scenes
from tests.tiny_world.judge import verdict
from worker.tiny.world.captions import caption

#: Prompts of each kind.
ROWS = {"trained": 6, "held out": 3, "pairs": 3}

SEEDS, SIDE, GAP, MARGIN = 8, 128, 8, 24
CAPTION, MARK = 26, 4
RIGHT, NOT, INK, PALE = (40, 160, 70), (220, 40, 40), (30, 30, 30), (130, 130, 130)

GUIDANCE = 5.0


def sheet(pipe: StableDiffusionXLPipeline) -> Image.Image:
    wishes = [(wish, kind) for kind, count in ROWS.items() for wish in scenes(kind, count)]
    repeated = [wish for wish, _ in wishes for _ in range(SEEDS)]
    drawn = pictures(pipe, repeated, GUIDANCE)
    cells = iter(
        (Image.fromarray(picture), all(verdict(picture, wish).values()))
        for picture, wish in zip(drawn, repeated, strict=True)
    )
    high = CAPTION + SIDE + MARK + 2 * GAP
    whole = Image.new(
        "RGB",
        (2 * MARGIN + SEEDS * (SIDE + GAP) - GAP, 2 * MARGIN + len(wishes) * high - 2 * GAP),
        "white",
    )
    for number, (wish, kind) in enumerate(wishes):
        row = list(islice(cells, SEEDS))
        _draw_row(whole, MARGIN + number * high, caption(wish), kind, row)
    return whole


def _draw_row(
    whole: Image.Image, top: int, prompt: str, kind: str, row: list[tuple[Image.Image, bool]]
) -> None:
    on, face = ImageDraw.Draw(whole), ImageFont.load_default(16)
    on.text((MARGIN, top), prompt, INK, face)
    if kind == "held out":
        after = MARGIN + on.textlength(f"{prompt}   ", face)
        on.text((after, top), "a combination never trained on", PALE, face)
    for column, (picture, right) in enumerate(row):
        left, below = MARGIN + column * (SIDE + GAP), top + CAPTION + SIDE
        whole.paste(picture, (left, top + CAPTION))
        on.rectangle((left, below + 2, left + SIDE - 1, below + 1 + MARK), RIGHT if right else NOT)


if __name__ == "__main__":
    parser = ArgumentParser("python -m tests.tiny_world.sheet", description=__doc__)
    parser.add_argument("folder", type=Path, help="the base, in the hub's layout")
    parser.add_argument("file", type=Path, help="the PNG to write")
    options = parser.parse_args()
    torch.set_num_threads(2)
    sheet(base(options.folder)).save(options.file, optimize=True)
