"""A density of rows as a mixture over orders of the columns, each a product of mixtures of smooth Gaussians."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from scorewise.backbones.made import MADE
from scorewise.densities.ensemble import equal_mixture
from scorewise.noise import uniform_like

FLOOR = 0.9
"""The least standard deviation of a Gaussian, in those of the smoothing: no law with that noise is narrower."""
SPREAD = 1.5
"""Where the outermost Gaussians begin, in standard deviations of the columns."""


class OneOrder(nn.Module):
    """A product of mixtures of Gaussians, each given the columns before it in one order.

    Args:
        dims: columns.
        components: K, Gaussians per conditional.
        hidden: sizes of the hidden layers of the MADE.
        ordering: of the columns, see `MADE`.
        smoothing: standard deviation of the noise of the rows, whose law is modelled.
    """

    def __init__(
        self, dims: int, components: int, hidden: Sequence[int], ordering: str | Sequence[int], smoothing: float
    ) -> None:
        super().__init__()
        self.made = MADE((dims,), 3 * components, tuple(hidden), "silu", ordering=ordering)
        self.components, self.least = components, (FLOOR * smoothing) ** 2
        with torch.no_grad():
            ends = SPREAD if components > 1 else 0.0
            self.made.output.bias.view(dims, components, 3)[..., 1] += torch.linspace(
                -ends, ends, components, dtype=torch.float32
            )

    def _parts(self, f_BDF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights, means and variances, each (B, D, K)."""
        f_BDKP = f_BDF.unflatten(-1, (self.components, 3))
        spread_BDK = functional.softplus(f_BDKP[..., 2] - 0.5)
        return f_BDKP[..., 0].log_softmax(-1), f_BDKP[..., 1], self.least + spread_BDK.square()

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        log_weight_BDK, mean_BDK, variance_BDK = self._parts(self.made.causal_features(x_BD.asinh()))
        square_BDK = (x_BD[..., None] - mean_BDK).square() / variance_BDK
        log_q_BD = (log_weight_BDK - 0.5 * (square_BDK + variance_BDK.log())).logsumexp(-1)
        return log_q_BD.sum(-1) - 0.5 * math.log(2 * math.pi) * x_BD.shape[1]

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""
        stream = self.made.feature_stream()
        f_BDF = stream.start(n)
        x_BD = f_BDF.new_empty(n, len(self.made.ordering))
        for column in self.made.ordering.sequence:
            log_weight_BDK, mean_BDK, variance_BDK = self._parts(f_BDF)
            u_BDK = uniform_like(log_weight_BDK, generator)
            chosen_BD1 = (log_weight_BDK - (-u_BDK.log()).log()).argmax(-1, keepdim=True)  # Gumbel's maximum
            z_BD1 = torch.special.ndtri(uniform_like(chosen_BD1.to(u_BDK), generator))
            drawn_B1 = (mean_BDK.gather(-1, chosen_BD1) + variance_BDK.gather(-1, chosen_BD1).sqrt() * z_BD1)[..., 0]
            x_BD[:, column] = drawn_B1[:, 0]
            f_BDF = stream.push(drawn_B1.asinh())
        return x_BD


class MixedOrders(nn.Module):
    """The mixture of several orders with equal weights: never worse than the mean order.

    Args:
        members: models of the same columns.
    """

    def __init__(self, members: Sequence[OneOrder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def _orders(self) -> list[OneOrder]:
        return cast(list[OneOrder], list(self.members))  # a ModuleList does not say what its modules can do

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        return equal_mixture(torch.stack([order.log_prob(x_BD) for order in self._orders()]))

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D), each from an order of its own choice."""
        orders = self._orders()
        counts = torch.randint(len(orders), (n,), generator=generator).bincount(minlength=len(orders)).tolist()
        drawn = [order.sample(count, generator) for order, count in zip(orders, counts, strict=True) if count]
        return torch.cat(drawn)[torch.randperm(n, generator=generator)]
