"""Stage 2: the UNet and both text encoders, together from nothing.

The loss is that of the predicted noise, as SDXL's, timesteps weighted by min-SNR
(arXiv 2303.09556).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn

from worker.engine import quieten
from worker.tiny.train import latents
from worker.tiny.train.loop import PROCESSES, Stage, together
from worker.tiny.train.models import base_unet, quiet_start, scheduler, text_encoders, vae
from worker.tiny.train.tokenizer import tokenizer
from worker.tiny.train.whole import whole

SAMPLES, STEPS, BATCH, RATE = 24_576, 5000, 64, 3e-3
ENDS = ("conv_in", "conv_out", "embed")
SNR_LIMIT = 5.0
#: What an error in the picture counts where there is next to nothing but noise. With min-SNR alone
#: that is nothing, and there it is decided where things lie.
LAYOUT = 0.1

TIMESTEPS = 1000


class Drawer(nn.Module):  # type: ignore[misc]
    """UNet and text encoders as the pipeline joins them."""

    def __init__(self) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = base_unet()
        quiet_start(self.unet)
        nn.init.zeros_(self.unet.conv_out.weight)
        self.text_encoder, self.text_encoder_2 = text_encoders()

    @classmethod
    def trained(cls, folder: Path) -> Drawer:
        """With the weights of a saved pipeline."""
        quieten()
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
        model = cls()
        for part in ("unet", "text_encoder", "text_encoder_2"):
            getattr(model, part).load_state_dict(getattr(pipe, part).state_dict())
        return model

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, of: latents.Learnt) -> torch.Tensor:
        """The prediction, (n, 4, 16, 16)."""
        states, pooled = self.encode(of)
        told = {"text_embeds": pooled, "time_ids": of.told}
        return self.unet(noisy, times, states, added_cond_kwargs=told).sample.float()

    def encode(self, of: latents.Learnt) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (n, 77, 128) and pooled (n, 64); zeros where there is no caption."""
        first = self.text_encoder(of.tokens.long(), output_hidden_states=True)
        second = self.text_encoder_2(of.tokens_2.long(), output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        there = of.captioned.float()
        return states * there[:, None, None], second.text_embeds * there[:, None]


def make(folder: Path) -> None:
    """Write `folder`/base; once."""
    if not (folder / "base").exists():
        latents.make(folder, "latents", 0, SAMPLES)
        together(_train, folder)


def _train(folder: Path) -> None:
    """One of the processes: trains and saves."""
    torch.manual_seed(2)
    model, learnt = Drawer(), latents.load(folder, "latents")
    stage = Stage("base", model, folder, steps=STEPS, rate=RATE, ends=ENDS)
    stage.run(lambda _: denoising_loss(model, learnt.some(BATCH // PROCESSES)))
    if stage.rank == 0:
        save(model, folder)


def denoising_loss(
    model: Callable[[torch.Tensor, torch.Tensor, latents.Learnt], torch.Tensor],
    of: latents.Learnt,
    until: int = TIMESTEPS,
) -> torch.Tensor:
    """Mean squared error of the predicted noise, at timesteps below `until`, times
    (SNR + LAYOUT, at most SNR_LIMIT) / SNR."""
    clean, noise = of.latents.float(), torch.randn(of.latents.shape)
    times = ((torch.rand(1) + torch.arange(len(of)) / len(of)) % 1 * until).long()
    share = scheduler().alphas_cumprod[times]
    signal, strength = share.sqrt()[:, None, None, None], (1 - share).sqrt()[:, None, None, None]
    with torch.autocast("cpu", torch.bfloat16):
        got = model(signal * clean + strength * noise, times, of)
    snr = share / (1 - share)
    weight = (snr + LAYOUT).clamp(max=SNR_LIMIT) / snr
    return (weight * (got - noise).square().mean((1, 2, 3))).mean()


def save(model: Drawer, folder: Path) -> None:
    """In the hub's layout, in half precision."""
    unnamed = vae()  # a loaded one would write down which folder it comes from
    unnamed.load_state_dict(AutoencoderKL.from_pretrained(folder / "vae").state_dict())
    pipe = StableDiffusionXLPipeline(
        vae=unnamed,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=tokenizer("<|endoftext|>"),
        tokenizer_2=tokenizer("!"),
        unet=model.unet,
        scheduler=scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    with whole(folder / "base") as unfinished:
        pipe.to(dtype=torch.float16).save_pretrained(unfinished)
