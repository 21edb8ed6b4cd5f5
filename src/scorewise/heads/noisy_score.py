"""A vector field for the joint score at every noise level."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.capabilities import NoisyFeatures
from scorewise.heads.examples import of_examples
from scorewise.heads.model import Model


class NoisyScore(Model):
    """A free vector field for grad_x log q_sigma(x) at every level: NoisyScoreModel, and ScoreModel.

    With y = x - mean, r = sigma^2 + std^2 and t the log level, which runs from 1 to -1 over the ladder,

        s(x, sigma) = std / (sigma sqrt r) net(y / sqrt r, t) - y / r,

    which starts as a Gaussian and keeps the network's target of order one at every level (Karras et al. 2022,
    eq. 7, as a score).

    Args:
        backbone: features per dimension of the whole example and its level, one each.
        levels: of noise, from the largest to the smallest, in the scale of the data.
        mean: mean of the data, one number.
        std: standard deviation of the clean data.
        noise: the smallest level; 0 to take it from the ladder.

    Raises:
        ValueError: the levels are no ladder, or the noise is not the smallest of them.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.noisy_score(x, torch.full((5,), 0.5)).shape
        torch.Size([5, 2])
    """

    needs = (NoisyFeatures,)

    def __init__(
        self,
        backbone: nn.Module,
        *,
        levels: Sequence[float],
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        ladder = tuple(float(level) for level in levels)
        if not ladder or ladder[-1] <= 0 or any(high <= low for high, low in itertools.pairwise(ladder)):
            raise ValueError(f"levels={list(ladder)} must be positive noise levels from the largest to the smallest")
        if noise > 0 and not math.isclose(noise, ladder[-1], rel_tol=1e-5):
            raise ValueError(f"noise={noise:g} is not the smallest noise level {ladder[-1]:g}")
        super().__init__(backbone, mean=mean, std=std, noise=ladder[-1])
        self.levels, self.std = ladder, std

    @staticmethod
    def width_needed(**settings: Any) -> int:
        """Return one feature per dimension."""
        return 1

    @of_examples
    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the joint score of the law with noise sigma (one per example, or one for all), shape of x."""
        sigma_B = torch.as_tensor(sigma_B).to(x_BD).expand(len(x_BD))
        y_BD, sigma_B1 = x_BD - self.mean, sigma_B[:, None]
        r_B1 = sigma_B1.square() + self.std**2
        net_BD = self.backbone.noisy_features(y_BD / r_B1.sqrt(), self._log_level(sigma_B))[..., 0]
        s_BD: Tensor = self.std / (sigma_B1 * r_B1.sqrt()) * net_BD - y_BD / r_B1
        return s_BD

    @of_examples
    def score(self, x_BD: Tensor) -> Tensor:
        """Return the joint score at the smallest level, shape of x."""
        return self.noisy_score(x_BD, torch.full_like(x_BD[:, 0], self.levels[-1]))

    def _log_level(self, sigma_B: Tensor) -> Tensor:
        high, low = math.log(self.levels[0]), math.log(self.levels[-1])
        return (sigma_B.log() - (high + low) / 2) / (max(high - low, 1e-3) / 2)
