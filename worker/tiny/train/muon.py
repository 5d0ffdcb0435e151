"""Muon: momentum whose matrices are made orthogonal before the step (Keller Jordan, 2024).

Kernels count as matrices of shape (out, in × height × width). What is no matrix, and what
stands at a network's ends, goes to AdamW. Steps are scaled to the size of AdamW's, as in
"Muon is scalable for LLM training" (arXiv 2502.16982).
"""

from __future__ import annotations

import torch
from torch import nn

MOMENTUM, WEIGHT_DECAY = 0.95, 0.01
#: Of the quintic that pulls singular values towards 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """For weights of two or more dimensions."""

    def __init__(self, weights: list[nn.Parameter], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    def step(self) -> None:
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._move(weight, group["lr"])

    def _move(self, weight: nn.Parameter, rate: float) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        step = orthogonal(weight.grad.lerp(momentum, MOMENTUM).flatten(1))
        size = 0.2 * max(step.shape) ** 0.5
        weight.mul_(1 - WEIGHT_DECAY * rate).sub_(step.view_as(weight), alpha=rate * size)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest matrix with singular values near 1: five Newton-Schulz steps."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
