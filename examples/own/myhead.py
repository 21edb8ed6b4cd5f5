"""A head: conditionals that are hyperbolic secants, with heavier tails than a Gaussian's."""

import math
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from scorewise.heads import CausalModel
from scorewise.noise import uniform_like


class Sech(CausalModel):
    """Conditionals sech(pi z / 2) / 2 of z = (q - location) / scale, both from the context."""

    tells_runs_apart = True  # the head is part of a run's name

    @staticmethod
    def width_needed(**settings: Any) -> int:
        """Return the features per dimension that it reads: location and log-scale."""
        return 2

    def _z(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return (self.standardise(q_BD) - c_BDF[..., 0]) * torch.exp(-c_BDF[..., 1])

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(q_d | x_<d) in nats, shape of q."""
        a_BD = (math.pi / 2 * self._z(q_BD, c_BDF)).abs()
        return -a_BD - functional.softplus(-2 * a_BD) - c_BDF[..., 1] - self.scale.log()

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return d/dq log q(q_d | x_<d), shape of q."""
        slope_BD = -math.pi / 2 * torch.tanh(math.pi / 2 * self._z(q_BD, c_BDF))
        return slope_BD * torch.exp(-c_BDF[..., 1]) / self.scale

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw of every dimension from its conditional, shape (B, D)."""
        u_BD = uniform_like(c_BDF[..., 0], generator).clamp(1e-6, 1 - 1e-6)
        z_BD = 2 / math.pi * torch.log(torch.tan(math.pi / 2 * u_BD))
        return self.mean + self.scale * (c_BDF[..., 0] + torch.exp(c_BDF[..., 1]) * z_BD)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,)."""
        return self.conditional_log_prob(x_BD, self.context(x_BD)).sum(-1)
