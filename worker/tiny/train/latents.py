"""What the base learns from: latents, tokens and sizes of many samples, made once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from worker.tiny.train.loop import PROCESSES
from worker.tiny.train.models import VAE_SCALE
from worker.tiny.train.progress import counted
from worker.tiny.train.samples import Sample, sample
from worker.tiny.train.tokenizer import tokenizer
from worker.tiny.train.whole import whole

#: Samples that are made at once.
PART = 256


@dataclass(frozen=True)
class Learnt:
    """n samples: latents (n, 4, 16, 16) of deviation 1, tokens of either tokenizer (n, 77),
    whether there is a caption at all (n), size conditioning (n, 6), aesthetic scores (n)."""

    latents: torch.Tensor
    tokens: torch.Tensor
    tokens_2: torch.Tensor
    captioned: torch.Tensor
    told: torch.Tensor
    scores: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def some(self, count: int) -> Learnt:
        """A random choice."""
        chosen = torch.randint(len(self), (count,))
        return Learnt(*(getattr(self, field.name)[chosen] for field in fields(self)))


def make(
    folder: Path, name: str, first: int, count: int, draw: Callable[[int], Sample] = sample
) -> None:
    """Write `folder`/`name`.pt from the samples `first` … of a stream; once."""
    file = folder / f"{name}.pt"
    if file.exists():
        return
    work, firsts = partial(_part, folder / "vae", draw, PART), range(first, first + count, PART)
    with ProcessPoolExecutor(PROCESSES) as pool:
        parts = counted(name, pool.map(work, firsts), len(firsts))
    joined = [np.concatenate(column)[:count] for column in zip(*parts, strict=True)]
    with whole(file) as unfinished:
        torch.save([torch.from_numpy(column) for column in joined], unfinished)


def load(folder: Path, name: str) -> Learnt:
    return Learnt(*torch.load(folder / f"{name}.pt", weights_only=True, mmap=True))


def _part(
    vae_folder: Path, draw: Callable[[int], Sample], count: int, first: int
) -> list[np.ndarray]:
    torch.set_num_threads(1)
    samples = [draw(number) for number in range(first, first + count)]
    captions = [sample.caption or "" for sample in samples]
    return [
        _latents(vae_folder, np.stack([sample.picture for sample in samples])),
        *(_tokens(captions, pad) for pad in ("<|endoftext|>", "!")),
        np.array([sample.caption is not None for sample in samples]),
        np.array([sample.told for sample in samples], np.float32),
        np.array([sample.score for sample in samples], np.float32),
    ]


def _tokens(captions: list[str], pad: str) -> np.ndarray:
    tokens = tokenizer(pad)(captions, padding="max_length", max_length=77)["input_ids"]
    return np.array(tokens, np.int32)


def _latents(vae_folder: Path, pictures: np.ndarray) -> np.ndarray:
    """(n, 128, 128, 3) → (n, 4, 16, 16), as half precision."""
    vae = AutoencoderKL.from_pretrained(vae_folder)
    batches = torch.from_numpy(pictures).permute(0, 3, 1, 2).split(32)
    with torch.no_grad():
        means = [vae.encode(batch.float() / 127.5 - 1).latent_dist.mean for batch in batches]
    return np.asarray((torch.cat(means) * VAE_SCALE).half())
