"""One stage of the training: so many steps, a cosine of learning rates, resumable.

Two processes of one thread each train on their own batches and average their gradients: on two
cores that is faster than one process of two threads, the more so when others want a core too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn

from worker.tiny.train.muon import Muon
from worker.tiny.train.progress import Progress
from worker.tiny.train.whole import whole

WARM_UP = 60
#: Seconds between two checkpoints.
SAVE_EVERY = 120.0

PROCESSES = 2

#: The loss of step `n`; its batch and its noise are seeded by `n` and the process alone.
Loss = Callable[[int], torch.Tensor]


def together(work: Callable[..., None], folder: Path, *more: object) -> None:
    """Run `work(folder, *more)` in two processes that train together."""
    meeting = folder / "processes"
    meeting.unlink(missing_ok=True)
    multiprocessing.spawn(_one_of_them, (meeting, work, folder, *more), PROCESSES)
    meeting.unlink(missing_ok=True)


def _one_of_them(
    rank: int, meeting: Path, work: Callable[..., None], folder: Path, *more: object
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting.resolve()}", rank=rank, world_size=PROCESSES
    )
    work(folder, *more)
    distributed.destroy_process_group()


class Stage:
    """Trains `model` and keeps a running average of its weights, which is what is shipped.

    AdamW has what has one of `ends` in its name, Muon the other matrices.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        folder: Path,
        *,
        steps: int,
        rate: float,
        ends: tuple[str, ...],
    ) -> None:
        self.name, self.steps = name, steps
        self.rank = distributed.get_rank()
        self._file, self._rate, self._step = folder / f"{name}.pt", rate, 0
        self._named = {n: w for n, w in model.named_parameters() if w.requires_grad}
        self._average = {n: w.detach().clone() for n, w in self._named.items()}
        self._optimizers = _optimizers(self._named, rate, ends)

    def run(self, loss: Loss) -> None:
        """To the last step, from where the checkpoint is. Leaves the average in the model."""
        self._resume()
        progress, saved = Progress(self.name, self.steps, self._step), time.monotonic()
        mean = 0.0
        while self._step < self.steps:
            value = self._one(loss)
            mean = value if not mean else 0.95 * mean + 0.05 * value
            if not self.rank:
                progress.show(self._step, f", loss {mean:.4f}")
            if time.monotonic() - saved > SAVE_EVERY:
                self._save()
                saved = time.monotonic()
        self._save()
        distributed.barrier()
        self._put(self._average)

    def _one(self, loss: Loss) -> float:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate * rate_share(self._step, self.steps)
        torch.manual_seed(PROCESSES * self._step + self.rank)
        value = loss(self._step)
        value.backward()
        self._average_gradients()
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._step += 1
        self._move_average()
        return float(value.detach())

    def _average_gradients(self) -> None:
        """Over the processes; too large ones are made smaller."""
        gradients = [weight.grad for weight in self._named.values() if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= max(PROCESSES, flat.norm().item())
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _move_average(self) -> None:
        keep = min(0.998, 1 - 1 / (self._step / 10 + 1))
        weights = [weight.detach() for weight in self._named.values()]
        torch._foreach_lerp_(list(self._average.values()), weights, 1 - keep)

    def _put(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self._named.items():
                weight.copy_(weights[name])

    def _save(self) -> None:
        if self.rank:
            return
        state = {
            "step": self._step,
            "weights": {name: weight.detach() for name, weight in self._named.items()},
            "average": self._average,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        with whole(self._file) as partial:
            torch.save(state, partial)

    def _resume(self) -> None:
        if self._file.exists():
            state = torch.load(self._file, weights_only=True)
            self._step, self._average = state["step"], state["average"]
            self._put(state["weights"])
            for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        distributed.barrier()


def _optimizers(
    named: dict[str, nn.Parameter], rate: float, ends: tuple[str, ...]
) -> list[torch.optim.Optimizer]:
    matrices = {
        name: weight
        for name, weight in named.items()
        if weight.ndim > 1 and not any(end in name for end in ends)
    }
    rest = [weight for name, weight in named.items() if name not in matrices]
    adam = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=0.0)
    return [Muon(list(matrices.values()), rate), adam] if matrices else [adam]


def rate_share(step: int, steps: int) -> float:
    """A short linear rise, then half a cosine down to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
