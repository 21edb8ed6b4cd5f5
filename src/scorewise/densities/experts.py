"""A mixture of densities of very different kinds, with the weights that held-out rows give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Generator, Tensor

from scorewise.estimators import KDE

WIDTHS = (1.0, 1.5, 2.0, 3.0, 5.0)
"""Widths of kernels to choose from, in standard deviations of the smoothing."""
KERNELS = 5000
"""Rows that kernels stand on; of more, so many evenly spaced ones."""
ROUNDS = 100
PRIOR = 1.0
"""Held-out rows that every expert is taken to have explained beforehand."""


class Expert(Protocol):
    """A normalised density that draws rows."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""


class Kernels:
    """Gaussian kernels on rows, of the width that is likeliest for held-out ones.

    Args:
        x_ND: rows.
        held_VD: held-out rows with the noise of the smoothing.
        smoothing: its standard deviation; no kernel is narrower.
    """

    def __init__(self, x_ND: Tensor, held_VD: Tensor, smoothing: float) -> None:
        kept = torch.linspace(0, len(x_ND) - 1, min(len(x_ND), KERNELS)).long()
        tried = [KDE(x_ND[kept], smoothing * width) for width in WIDTHS]
        self.kde = max(tried, key=lambda kde: float(kde.log_prob(held_VD[:KERNELS]).mean()))

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        return self.kde.log_prob(x_BD)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""
        x_ND = self.kde.x_ND[torch.randint(len(self.kde.x_ND), (n,), generator=generator)]
        return x_ND + self.kde.bandwidth * torch.randn(x_ND.shape, generator=generator, dtype=x_ND.dtype)


@dataclass(frozen=True)
class Experts:
    """A mixture of experts whose weights are the same everywhere.

    Args:
        experts: the densities.
        log_weight_M: logarithms of their weights.
    """

    experts: Sequence[Expert]
    log_weight_M: Tensor

    @classmethod
    def weighted(cls, experts: Sequence[Expert], held_VD: Tensor) -> Self:
        """Return the mixture that is likeliest for held-out rows with their noise, by EM.

        Every expert keeps the weight of one held-out row, so that it counts where all others are far off.
        """
        log_q_MV = torch.stack([expert.log_prob(held_VD) for expert in experts])
        log_weight_M = torch.full((len(experts),), 1 / len(experts), dtype=log_q_MV.dtype).log()
        for _ in range(ROUNDS):
            share_MV = (log_weight_M[:, None] + log_q_MV).softmax(0)
            log_weight_M = (share_MV.sum(1) + PRIOR).log()
            log_weight_M = log_weight_M - log_weight_M.logsumexp(0)
        return cls(experts, log_weight_M)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        log_q_MB = torch.stack([expert.log_prob(x_BD) for expert in self.experts])
        return (self.log_weight_M[:, None] + log_q_MB).logsumexp(0)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D), each from an expert of its own choice."""
        chosen_n = torch.multinomial(self.log_weight_M.exp(), n, replacement=True, generator=generator)
        counts = chosen_n.bincount(minlength=len(self.experts)).tolist()
        drawn = [expert.sample(count, generator) for expert, count in zip(self.experts, counts, strict=True) if count]
        return torch.cat(drawn)[torch.randperm(n, generator=generator)]
