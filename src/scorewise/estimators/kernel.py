"""The Gaussian kernel exp(-|x - y|^2 / (2 h^2)) and its bandwidth h."""

import math

import torch
from torch import Tensor

SMALLEST_BANDWIDTH = 1e-3
"""Of the median rule, in the scale of the data: samples that collapsed to a point have a median distance of 0."""


def check_bandwidth(bandwidth: str | float, rules: tuple[str, ...]) -> None:
    """Refuse a bandwidth that is neither one of the rules nor a positive number.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(bandwidth, str):
        if bandwidth not in rules:
            raise ValueError(f"bandwidth={bandwidth} is none of {', '.join(rules)}, and not a number")
    elif not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth={bandwidth} must be positive and finite, or one of {', '.join(rules)}")


def squared_distances(q_BD: Tensor, x_MD: Tensor) -> Tensor:
    """Return |q_b - x_m|^2, shape (..., B, M); leading axes broadcast.

    Everything is measured from the mean of x, so that float32 loses digits to the spread of x and not to its mean.
    """
    centre_1D = x_MD.detach().mean(-2, keepdim=True)
    q_BD, x_MD = q_BD - centre_1D, x_MD - centre_1D
    norms_BM = q_BD.square().sum(-1)[..., :, None] + x_MD.square().sum(-1)[..., None, :]
    return (norms_BM - 2 * q_BD @ x_MD.mT).clamp(min=0)


def kernel_bandwidth(bandwidth: str | float, square_MM: Tensor) -> Tensor:
    """Return h, shape (..., 1, 1), from the squared distances among samples: the number given, or their median.

    The median is over all M^2 pairs, the M zeros of the diagonal among them: the smallest of the largest M^2 // 2
    distances, as in the code of Li and Turner (2018) and of Shi, Sun and Zhu (2018).
    """
    if not isinstance(bandwidth, str):
        return torch.full_like(square_MM[..., :1, :1], bandwidth)
    pairs = square_MM.shape[-1] ** 2
    median = square_MM.detach().flatten(-2).kthvalue(min(pairs - pairs // 2 + 1, pairs)).values.sqrt()
    return median.clamp(min=SMALLEST_BANDWIDTH)[..., None, None]


def kernel(square_BM: Tensor, h: Tensor) -> Tensor:
    """Return K = exp(-square / (2 h^2)), shape of the squared distances."""
    return (-0.5 * square_BM / h**2).exp()


def kernel_gradient(x_MD: Tensor, k_MM: Tensor, h: Tensor) -> Tensor:
    """Return <grad, K>_i = sum_j grad_{x_j} K_ij = sum_j K_ij (x_i - x_j) / h^2, shape (..., M, D)."""
    x_MD = x_MD - x_MD.mean(-2, keepdim=True)
    return (k_MM.sum(-1, keepdim=True) * x_MD - k_MM @ x_MD) / h**2
