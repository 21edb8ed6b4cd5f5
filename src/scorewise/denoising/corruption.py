"""What is done to clean images before they are restored."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scorewise.noise import Draws


def gaussian(x_BD: Tensor, sigma: float, draws: Draws) -> Tensor:
    """Return x + sigma z, shape (B, D)."""
    return x_BD + sigma * draws.fork("corruption").normal(x_BD.shape[1], dtype=x_BD.dtype)


def salt_and_pepper(x_BD: Tensor, share: float, shape: Sequence[int], draws: Draws) -> tuple[Tensor, Tensor]:
    """Return images with pixels set to 1 or -1, all channels together, and which entries were hit, both (B, D).

    Args:
        x_BD: images in [-1, 1].
        share: of the pixels that are hit, half of them salt and half of them pepper.
        shape: of one image, (channels, height, width).
        draws: of these images.
    """
    channels, pixels = shape[0], math.prod(shape[1:])
    hit_BP = draws.fork("hit").uniform(pixels) < share
    salt_BP = draws.fork("salt").uniform(pixels) < 0.5
    end_BD = torch.where(salt_BP, 1.0, -1.0).to(x_BD).repeat(1, channels)
    hit_BD = hit_BP.repeat(1, channels)
    return torch.where(hit_BD, end_BD, x_BD), hit_BD
