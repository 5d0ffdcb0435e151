"""Stage 1: the VAE, from pixels to latents of an eighth of their side and back.

Latents are normalised over the batch while it learns and get noise of a fixed strength before
they are decoded, so the decoder forgives what the UNet will get slightly wrong. In the end the
latents' mean and deviation move into the two 1 × 1 convolutions beside them, so that SDXL's
`scaling_factor` 0.13025 holds.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn.functional import l1_loss

from worker.tiny.train.loop import PROCESSES, Stage, together
from worker.tiny.train.models import VAE_SCALE, quiet_start, vae
from worker.tiny.train.progress import counted
from worker.tiny.train.samples import glorps, pastel, sample
from worker.tiny.train.whole import whole

POOL, STEPS, BATCH, RATE = 12_288, 3600, 48, 2e-3
ENDS = ("conv_in", "conv_out", "quant_conv")
#: Deviation of the noise on latents, whose own is 1.
NOISE = 0.1

#: The first steps see a part of each picture, so wide, with some of an outline in it.
WINDOW = 64

#: How long that lasts; then they see whole ones, a quarter as many.
PARTS = 0.6


class Autoencoder(nn.Module):  # type: ignore[misc]
    """An AutoencoderKL with normalised latents."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = vae()
        self.norm = nn.BatchNorm2d(4, affine=False, momentum=0.02)
        quiet_start(self.vae)
        self.to(memory_format=torch.channels_last)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) from -1 to 1 → (n, 4, h / 8, w / 8)."""
        means, _ = self.vae.quant_conv(self.vae.encoder(pictures)).chunk(2, dim=1)
        return self.norm(means.float())

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.vae.decoder(self.vae.post_quant_conv(latents)).float()

    def folded(self) -> AutoencoderKL:
        """The AutoencoderKL alone, the normalising inside it; it never adds noise."""
        mean, deviation = self.norm.running_mean, (self.norm.running_var + self.norm.eps).sqrt()
        scale = (deviation * VAE_SCALE)[:, None, None, None]
        with torch.no_grad():
            before, after = self.vae.quant_conv, self.vae.post_quant_conv
            before.weight[:4] /= scale
            before.bias[:4] = (before.bias[:4] - mean) / scale.flatten()
            before.weight[4:], before.bias[4:] = 0, -30
            after.weight *= VAE_SCALE
        return self.vae.eval()


def make(folder: Path) -> None:
    """Write `folder`/vae; once."""
    if not (folder / "vae").exists():
        _draw_pictures(folder)
        together(_train, folder)


def _train(folder: Path) -> None:
    """One of the processes: trains and saves."""
    torch.manual_seed(1)
    model = Autoencoder()
    pictures = torch.from_numpy(np.load(folder / "pictures.npy", mmap_mode="c"))
    pictures = pictures.permute(0, 3, 1, 2)
    stage = Stage("vae", model, folder, steps=STEPS, rate=RATE, ends=ENDS)
    stage.run(lambda step: _loss(model, pictures, step))
    if stage.rank == 0:
        _settle(model, pictures)
        with whole(folder / "vae") as unfinished:
            model.folded().save_pretrained(unfinished)


def _draw_pictures(folder: Path) -> None:
    """Once: uint8 (n, 128, 128, 3)."""
    file = folder / "pictures.npy"
    if not file.exists():
        with ProcessPoolExecutor(PROCESSES) as pool:
            drawn = counted("pictures", pool.map(_picture, range(POOL), chunksize=256), POOL)
        with whole(file) as unfinished:
            np.save(unfinished, drawn)


def _picture(number: int) -> np.ndarray:
    """Mostly what the base will see; one in eight what only LoRAs will."""
    if number % 8:
        return sample(10_000_000 + number).picture
    return (glorps if number % 16 else pastel)(10_000_000 + number).picture


def _loss(model: Autoencoder, pictures: torch.Tensor, step: int) -> torch.Tensor:
    """Mean absolute error of colours and, as much again, of their differences between
    neighbours, which is what outlines are made of."""
    wanted = _parts(pictures, cut=step < PARTS * STEPS)
    with torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(wanted)
        got = model.decode(latents + NOISE * torch.randn_like(latents))
    return l1_loss(got, wanted) + sum(l1_loss(_slope(got, d), _slope(wanted, d)) for d in (2, 3))


def _slope(pictures: torch.Tensor, dim: int) -> torch.Tensor:
    return pictures.diff(dim=dim)


def _parts(pictures: torch.Tensor, *, cut: bool) -> torch.Tensor:
    """One process's share of the batch."""
    share = BATCH // PROCESSES
    chosen = pictures[torch.randint(len(pictures), (share if cut else share // 4,))]
    if cut:
        chosen = torch.stack([_part(picture) for picture in chosen])
    return chosen.to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1


def _part(picture: torch.Tensor) -> torch.Tensor:
    """The best of three places: where the picture changes most."""
    places = torch.randint((128 - WINDOW) // 8 + 1, (3, 2)) * 8
    parts = [picture[:, y : y + WINDOW, x : x + WINDOW] for y, x in places.tolist()]
    return max(parts, key=lambda part: part[:, ::8, ::8].float().std().item())


def _settle(model: Autoencoder, pictures: torch.Tensor) -> None:
    """The latents' mean and deviation with the final weights, over whole pictures."""
    model.norm.momentum = None
    model.norm.reset_running_stats()
    with torch.no_grad():
        for some in pictures[:2048].split(64):
            model.encode(some.float() / 127.5 - 1)
