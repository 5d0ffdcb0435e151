"""Stage 3: the refiner, an expert for the last steps, told how beautiful the picture shall be.

It reads the base's second text encoder, as it is. Its UNet starts as the base's and learns the
timesteps below 400 alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn

from worker.engine import quieten
from worker.tiny.train import latents
from worker.tiny.train.base import ENDS, denoising_loss
from worker.tiny.train.loop import PROCESSES, Stage, together
from worker.tiny.train.models import TIME_ID_WIDTH, refiner_unet
from worker.tiny.train.whole import whole

STEPS, BATCH, RATE = 1000, 64, 1e-3
#: SDXL's learns those below 200; here `high_noise_frac` may be .6, and repainting stronger.
UNTIL = 400


class Polisher(nn.Module):  # type: ignore[misc]
    """The refiner's UNet behind the base's second text encoder."""

    def __init__(self, base: StableDiffusionXLPipeline) -> None:
        super().__init__()
        self.unet = refiner_unet()
        self._start_as(base.unet)
        self.text_encoder_2 = base.text_encoder_2.requires_grad_(False)

    def _start_as(self, base: UNet2DConditionModel) -> None:
        """With the base's weights, but for what only the base is told: the first text encoder's
        states and the target size."""
        theirs = base.state_dict()
        for name, weight in self.unet.named_parameters():
            with torch.no_grad():
                weight.copy_(_fitting(name, theirs[name], weight.shape))

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, of: latents.Learnt) -> torch.Tensor:
        """The prediction, (n, 4, 16, 16); an empty caption is read as one, never as zeros."""
        text = self.text_encoder_2(of.tokens_2.long(), output_hidden_states=True)
        told = torch.cat([of.told[:, :4], of.scores[:, None]], dim=1)
        conditions = {"text_embeds": text.text_embeds, "time_ids": told}
        states = text.hidden_states[-2]
        return self.unet(noisy, times, states, added_cond_kwargs=conditions).sample.float()


def _fitting(name: str, theirs: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """What the refiner's smaller matrix has in common with the base's."""
    if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
        return theirs[:, -shape[1] :]
    if name == "add_embedding.linear_1.weight":
        sizes = theirs[:, : shape[1]].clone()
        sizes[:, -TIME_ID_WIDTH:] = 0
        return sizes
    return theirs


def make(folder: Path) -> None:
    """Write `folder`/refiner, which holds the base's parts too; once."""
    if not (folder / "refiner").exists():
        together(_train, folder)


def _train(folder: Path) -> None:
    """One of the processes: trains and saves."""
    torch.manual_seed(4)
    quieten()
    base = StableDiffusionXLPipeline.from_pretrained(folder / "base", dtype=torch.float32)
    model, learnt = Polisher(base), latents.load(folder, "latents")
    stage = Stage("refiner", model, folder, steps=STEPS, rate=RATE, ends=ENDS)
    stage.run(lambda _: denoising_loss(model, learnt.some(BATCH // PROCESSES), UNTIL))
    if stage.rank == 0:
        save(model, base, folder)


def save(model: Polisher, base: StableDiffusionXLPipeline, folder: Path) -> None:
    """In the hub's layout, in half precision; the VAE and the second encoder are the base's."""
    pipe = StableDiffusionXLImg2ImgPipeline(
        vae=base.vae,
        text_encoder=None,
        text_encoder_2=base.text_encoder_2,
        tokenizer=None,
        tokenizer_2=base.tokenizer_2,
        unet=model.unet,
        scheduler=base.scheduler,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )
    with whole(folder / "refiner") as unfinished:
        pipe.to(dtype=torch.float16).save_pretrained(unfinished)
