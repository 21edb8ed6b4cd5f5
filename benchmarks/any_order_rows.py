"""A density of rows of numbers given any part of them, as `experiment=mixed_table` has it, fitted to arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from adbench import Array
from torch import Generator, Tensor

from scorewise.backbones import MaskedMLP
from scorewise.densities.training import Schedule, train
from scorewise.heads import ByColumn
from scorewise.noise import Draws, OwnNumbers
from scorewise.objectives import MLE
from scorewise.sampling import InverseCDF

Columns = Sequence[Mapping[str, Any]]
HELD_OUT = 0.1
"""The share of the rows that say when training ends."""


@dataclass(frozen=True)
class Settings:
    """How a model is fitted.

    Args:
        noise: standard deviation of the noise that training rows get, fresh at every step.
        floor: standard deviation that every Gaussian has at least.
        steps: of training.
        dropout: in training.
        orders: in the mixture of its likelihood.
        components: Gaussians per conditional.
        hidden: sizes of the hidden layers.
        lr: the largest learning rate.
    """

    noise: float = 0.0
    floor: float = 0.01
    steps: int = 3000
    dropout: float = 0.1
    orders: int = 16
    components: int = 10
    hidden: tuple[int, ...] = (256, 256, 256)
    lr: float = 1e-3


def fitted_rows(x_ND: Array, settings: Settings, seed: int, columns: Columns | None = None) -> ByColumn:
    """Return a model of standardised rows, float64; a tenth of them says when training ends.

    Args:
        x_ND: the rows.
        settings: of the fit.
        seed: of weights, batches and noise.
        columns: as `ByColumn` reads them; None: all are continuous.
    """
    x_ND = np.random.default_rng(seed).permutation(x_ND)
    held = max(1, round(HELD_OUT * len(x_ND)))
    rows_ND = torch.as_tensor(x_ND, dtype=torch.float32)
    columns = columns or [{"kind": "continuous"}] * rows_ND.shape[1]
    levels = [column.get("levels", 0) for column in columns]
    width = ByColumn.width_needed(columns=columns, components=settings.components)
    assert width is not None
    with OwnNumbers(seed, torch.float32):
        own = {"dropout": settings.dropout, "levels": levels, "ordering": "random", "orders": settings.orders}
        backbone = MaskedMLP((len(columns),), width, settings.hidden, **own)
        model = ByColumn(backbone, columns=columns, components=settings.components, floor=settings.floor).float()
    objective = MLE()

    def loss(model: ByColumn, x_BD: Tensor, generator: Generator) -> Tensor:
        noisy_BD = x_BD + settings.noise * torch.randn(x_BD.shape, generator=generator, dtype=x_BD.dtype)
        model.train(torch.is_grad_enabled())  # held-out rows are judged without dropout
        return objective.per_example(model, noisy_BD, Draws.fresh(len(x_BD), generator)) / x_BD.shape[1]

    schedule = Schedule(settings.steps, 256, settings.lr, 1e-2)
    best = train(model, loss, rows_ND[held:], rows_ND[:held], schedule, seed).double()
    best.sampler = InverseCDF()
    return best


@torch.no_grad()
def log_density(model: ByColumn, x_ND: Array) -> Array:
    """Return log q(x) of rows, nats, the mixture of all orders of the model."""
    return model.log_prob(torch.as_tensor(x_ND, dtype=torch.float64)).numpy()
