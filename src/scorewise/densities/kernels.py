"""Gaussian kernels on rows as an expert: no rows are likelier than those near rows that were seen."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

from scorewise.estimators import KDE

WIDTHS = (1.0, 1.5, 2.0, 3.0, 5.0)
"""Of kernels, in standard deviations of the smoothing, which none is narrower than."""


@final
class Kernels:
    """Gaussian kernels of one width on every row.

    Args:
        x_ND: the rows.
        width: standard deviation of a kernel.
    """

    def __init__(self, x_ND: Tensor, width: float) -> None:
        self.kde = KDE(x_ND, width)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        return self.kde.log_prob(x_BD)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""
        x_ND = self.kde.x_ND[torch.randint(len(self.kde.x_ND), (n,), generator=generator)]
        return x_ND + self.kde.bandwidth * torch.randn(x_ND.shape, generator=generator, dtype=x_ND.dtype)


def kernels(x_ND: Tensor, smoothing: float) -> Sequence[Kernels]:
    """Return kernels of several widths on rows."""
    return [Kernels(x_ND, smoothing * width) for width in WIDTHS]
