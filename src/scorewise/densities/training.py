"""Training on the rows of a table in memory, ended by rows that were held out."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

M = TypeVar("M", bound=nn.Module)
Loss = Callable[[M, Tensor, Generator], Tensor]
"""From a model, rows (B, D) and what noise is drawn from to numbers per row (B,)."""
LOOKS, PATIENCE = 25, 8
"""How often the held-out rows are looked at, and for how many looks in a row they may be no better."""
COPIES = 1000
"""Held-out rows with noise of their own that there are at least, as copies."""
WIDE = 100
"""Columns from which on steps become fewer, in proportion."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a model learns.

    Args:
        steps: of training.
        batch_size: rows per step.
        lr: the largest learning rate, of one cycle.
        weight_decay: of AdamW.
    """

    steps: int
    batch_size: int
    lr: float
    weight_decay: float

    def of_columns(self, dims: int) -> int:
        """Return the steps for a table of so many columns."""
        return max(1, min(self.steps, self.steps * WIDE // dims))


def train(model: M, loss: Loss[M], fit_ND: Tensor, held_VD: Tensor, schedule: Schedule, seed: int) -> M:
    """Return the running average of a model in training at the look where held-out rows have the least loss.

    Args:
        model: untrained, in the type of the rows.
        loss: of the model.
        fit_ND: rows to learn from.
        held_VD: rows that say when to end; none: the last step.
        schedule: of the training.
        seed: of batches and noise.

    Raises:
        ValueError: no look found a finite loss.
    """
    generator = torch.Generator().manual_seed(seed)
    steps, batch = schedule.of_columns(fit_ND.shape[1]), min(schedule.batch_size, max(64, len(fit_ND)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    cycle = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cycle(step / steps))
    best: M | None = None
    average, least, since = copy.deepcopy(model), float("inf"), 0
    for step in range(steps):
        x_BD = fit_ND[torch.randint(len(fit_ND), (batch,), generator=generator)]
        with torch.enable_grad():
            optimizer.zero_grad()
            loss(model, x_BD, generator).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        cycle.step()
        _follow(average, model, min(0.99, (step + 1) / (step + 10)))
        if (step + 1) % max(1, steps // LOOKS) == 0 or step + 1 == steps:
            found = _held_out_loss(average, loss, held_VD, seed)
            if found <= least and math.isfinite(found):
                best, least, since = copy.deepcopy(average), found, 0
            elif (since := since + 1) == PATIENCE:
                break
    if best is None:
        raise ValueError(f"lr={schedule.lr:g} left no finite loss of the rows held out in training: give a smaller one")
    return best.eval()


@torch.no_grad()
def _held_out_loss(model: M, loss: Loss[M], held_VD: Tensor, seed: int) -> float:
    """Return the mean loss of held-out rows, always with the same noise; 0 where there are none."""
    if not len(held_VD):
        return 0.0
    held_VD = held_VD.repeat(-(-COPIES // len(held_VD)), 1)
    return float(loss(model, held_VD, torch.Generator().manual_seed(seed)).mean())


def _cycle(done: float) -> float:
    """Return the share of the largest learning rate: up in the first fifth, then down along a line."""
    return max(1e-3, min(done / 0.2, (1 - done) / 0.8))


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, kept: float) -> None:
    for old, new in zip(average.parameters(), model.parameters(), strict=True):
        old.lerp_(new, 1 - kept)
