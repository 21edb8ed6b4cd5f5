"""Fitting a small network by an objective, and how far it ends from the truth."""

from typing import Any

import torch
from torch import Tensor

from scorewise.heads.model import Model
from scorewise.noise import Draws
from scorewise.objectives import Objective
from scorewise.objectives.objective import score_field


def draws(n: int, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, torch.arange(n))


def fit(model: Model, objective: Objective, x: Tensor, steps: int = 200, lr: float = 2e-2) -> None:
    """Fit with all data in every step and a learning rate that goes to zero."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss = objective(model, x, draws(len(x), step))
        (loss.total * objective.gain(model) / model.dims).backward()
        optimizer.step()
        scheduler.step()


def relative_error(model: Any, x: Tensor, true: Tensor) -> float:
    with torch.no_grad():
        return float((score_field(model)(x) - true).square().mean() / true.square().mean())
