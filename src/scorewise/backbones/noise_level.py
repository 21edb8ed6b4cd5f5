"""How a network is told the noise level."""

import math

import torch
from torch import Tensor, nn

FREQUENCIES = 8


class NoiseLevel(nn.Module):
    """An embedding of the log noise level: sines and cosines of it through two linear layers.

    The level is expected within about [-1, 1]; the k-th sine has k quarter periods over a unit of it, so a
    ladder of up to about twice as many rungs as there are frequencies is told apart.

    Args:
        width: numbers in the embedding.
    """

    frequency_K: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequency_K", torch.arange(1, FREQUENCIES + 1) * math.pi / 2, persistent=False)
        self.net = nn.Sequential(nn.Linear(1 + 2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, log_sigma_B: Tensor) -> Tensor:
        """Return the embedding of every level, shape (B, width); any axes in place of B."""
        angle_BK = log_sigma_B[..., None] * self.frequency_K.to(log_sigma_B)
        e_BF: Tensor = self.net(torch.cat([log_sigma_B[..., None], angle_BK.sin(), angle_BK.cos()], dim=-1))
        return e_BF
