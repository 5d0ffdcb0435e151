"""A model so small that the loop which trains it is what a test sees. Processes that train import
this file and no stage of the tiny SDXL, which would bring diffusers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import distributed, nn

from worker.tiny.train.loop import Stage

#: Steps.
LAST = 6


class Line(nn.Module):
    """Something that learns."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.embed = nn.Linear(8, 8), nn.Embedding(4, 8)

    def loss(self, _: int) -> torch.Tensor:
        self.last = torch.randn(3, 8)
        return (self.inner(self.last) - self.embed.weight[:3]).square().mean()


def stage_of(model: Line, folder: Path) -> Stage:
    return Stage("line", model, folder, steps=LAST, rate=0.1, ends=("embed",))


def train_line(folder: Path) -> None:
    """Each process of a training leaves its weights and its last batch."""
    line = Line()
    stage_of(line, folder).run(line.loss)
    torch.save((line.state_dict(), line.last), folder / f"{distributed.get_rank()}.saved")
