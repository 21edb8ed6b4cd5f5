"""Held-out examples with several draws of the noise of the smoothing."""

import torch
from torch import Tensor

from scorewise.noise import Draws, smoothing_noise


def noisy_copies(x_ND: Tensor, noise: float, copies: int) -> Tensor:
    """Return all examples with each draw of noise N(0, noise^2), copy by copy, shape (copies N, D)."""
    index_N = torch.arange(len(x_ND))
    return torch.cat([x_ND + noise * smoothing_noise(Draws.of(copy, -1, index_N), x_ND) for copy in range(copies)])
