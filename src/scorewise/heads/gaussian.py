"""Gaussian conditionals: the tractable baseline with one mode per dimension."""

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from scorewise.heads.examples import of_queries, of_rows
from scorewise.heads.model import CausalModel
from scorewise.noise import normal_like


class Gaussian(CausalModel):
    """A product of Gaussian conditionals: NormalisedDensity, ConditionalScoreModel, ConditionalSampler.

    Args:
        backbone: causal features of width 2: mean and log standard deviation, in standard units.
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: the backbone's width is not 2.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import Gaussian
        >>> model = Gaussian(MADE((2,), 2, (16,)), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.log_prob(x).shape
        torch.Size([5])
    """

    LOG_STD = (-7.0, 5.0)

    tells_runs_apart = True

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if self.backbone.width != 2:
            raise ValueError(f"a Gaussian head reads 2 features per dimension, the backbone gives {backbone.width}")

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return 2: a mean and a log standard deviation."""
        return 2

    def _moments(self, c_BDF: Tensor) -> tuple[Tensor, Tensor]:
        mu_BD, log_std_BD = c_BDF.unbind(-1)
        return mu_BD, log_std_BD.clamp(*self.LOG_STD)

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return (mu - q) / var, shape of q."""
        mu_BD, log_std_BD = self._moments(c_BDF)
        return (mu_BD - self.standardise(q_BD)) * torch.exp(-2 * log_std_BD) / self.scale

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(q_d | c_d) in nats, shape of q."""
        mu_BD, log_std_BD = self._moments(c_BDF)
        z_BD = (self.standardise(q_BD) - mu_BD) * torch.exp(-log_std_BD)
        return -0.5 * z_BD.square() - log_std_BD - 0.5 * math.log(2 * math.pi) - self.scale.log()

    @of_rows
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,)."""
        return self.rows_log_prob(x_BD, self.conditional_log_prob)

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape of u."""
        mu_BD, log_std_BD = self._moments(c_BDF)
        x_BD: Tensor = self.mean + self.scale * (mu_BD + log_std_BD.exp() * torch.special.ndtri(u_BD))
        return x_BD

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return an exact draw per context, shape (B, D)."""
        mu_BD, log_std_BD = self._moments(c_BDF)
        return self.mean + self.scale * (mu_BD + log_std_BD.exp() * normal_like(mu_BD, generator))
