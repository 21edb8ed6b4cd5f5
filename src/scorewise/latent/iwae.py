"""The importance-weighted bound of models with an explicit encoder (Burda, Grosse and Salakhutdinov 2016)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

AT_A_TIME = 64
"""Draws per pass through the decoder."""


def iwae(
    log_joint: Callable[[Tensor], Tensor],
    log_q: Callable[[Tensor], Tensor],
    z: Callable[[int, int], Tensor],
    draws: int,
) -> Tensor:
    """Return log 1/K sum_k p(x, z_k) / q(z_k | x), a lower bound of log p(x) in expectation, nats, shape (B,).

    Args:
        log_joint: from z (M, B, D) to log p(x, z), shape (M, B).
        log_q: from z to log q(z | x), shape (M, B).
        z: from a first number and a count to so many draws of q(z | x), shape (M, B, D).
        draws: K.

    Raises:
        ValueError: fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"an importance-weighted bound needs at least 1 draw, got {draws}")
    parts = []
    for first in range(0, draws, AT_A_TIME):
        z_MBD = z(first, min(AT_A_TIME, draws - first))
        parts.append(torch.logsumexp(log_joint(z_MBD) - log_q(z_MBD), 0))
    return torch.logsumexp(torch.stack(parts), 0) - math.log(draws)
