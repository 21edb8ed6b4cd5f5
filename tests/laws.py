"""Models whose scores are known, as stand-ins for trained ones."""

import torch
from torch import Tensor, nn

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.ordering import Ordering


def gaussian_law(dims: int, std: float = 1.0, correlation: float = 0.0) -> GaussianMixtureLaw:
    lag = (torch.arange(dims)[:, None] - torch.arange(dims)).abs()
    covariance = std**2 * torch.tensor(correlation, dtype=torch.float64) ** lag
    return GaussianMixtureLaw(torch.ones(1), torch.zeros(1, dims), covariance[None])


class TrueConditionals(nn.Module):
    """N(0, std^2 I) as a ConditionalScoreModel."""

    def __init__(self, std: float, dims: int) -> None:
        super().__init__()
        self.std, self.dims, self.noise = std, dims, 0.0
        self.mean, self.scale = torch.tensor(0.0), torch.tensor(std)
        self.ordering = Ordering.named("raster", dims)

    def context(self, x_BD: Tensor) -> Tensor:
        return torch.zeros(*x_BD.shape, 1, dtype=x_BD.dtype)

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return -q_BD / self.std**2


class TrueJoint(nn.Module):
    """N(0, std^2 I) as a ScoreModel."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def score(self, x_BD: Tensor) -> Tensor:
        return -x_BD / self.std**2
