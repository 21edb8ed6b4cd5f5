"""The head of AR-CSM with noise levels: from [context, query, level] to a score."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, activation_named, perceptron
from scorewise.heads.examples import of_queries
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.ranges import Count, HiddenSizes, within_ranges


class NoisyConditionalScore(NumericallyNormalised):
    """Conditional scores at every noise level: NoisyConditionalScoreModel, and ConditionalScoreModel.

    In EDM form (Karras et al. 2022, eq. 7, as a score): with y = q - mean and r = sigma^2 + std^2,
    s = std / (sigma sqrt r) net(y / sqrt r, c, log sigma) - y / r. The context sees the smallest level only (AR-CSM,
    section 4.2).

    Args:
        backbone: causal features; their width is the size c of a context vector.
        hidden: sizes of the hidden layers of the shared head.
        activation: smooth for objectives that differentiate the score in its query.
        context: numbers per context vector; must be the backbone's width.
        levels: the ladder, from the largest down to the smallest.
        mean, std, noise: of the data, see `Model`; noise is the smallest level.

    Raises:
        ValueError: no levels, or an unknown activation.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> level = torch.full((5, 2), 0.5)
        >>> model.noisy_conditional_score(x, model.context(x), level).shape
        torch.Size([5, 2])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        levels: Sequence[float],
        hidden: HiddenSizes = (64, 64, 64),
        activation: ActivationName = "silu",
        context: Count | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if not levels or min(levels) <= 0:
            raise ValueError(f"levels={list(levels)} must be positive noise levels, at least one")
        width = self.backbone.width
        if context is not None and context != width:
            raise ValueError(f"context={context}, but the backbone gives {width} features per dimension")
        self.levels, self.std = tuple(levels), std
        self.middle = 0.5 * (math.log(levels[0]) + math.log(levels[-1]))
        self.half_range = max(0.5 * (math.log(levels[0]) - math.log(levels[-1])), 1.0)
        self.of_context = nn.Linear(width, hidden[0])
        self.of_query = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.of_level = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.first = activation_named(activation)
        self.rest = perceptron(hidden, activation)
        self.last = nn.Linear(hidden[-1], 1)

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 16))

    @of_queries
    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        """Return s_d(c_d, q_d, sigma_d), shape of q; elementwise in q and sigma, leading axes of q broadcast."""
        y_BD, sigma_BD = q_BD - self.mean, torch.as_tensor(sigma_BD).to(q_BD)
        r_BD = sigma_BD.square() + self.std**2
        level_BD = (sigma_BD.log() - self.middle) / self.half_range
        h = self.of_context(c_BDF) + (y_BD / r_BD.sqrt()).unsqueeze(-1) * self.of_query
        h = self.first(h + level_BD.unsqueeze(-1) * self.of_level)
        net_BD: Tensor = self.last(self.rest(h)).squeeze(-1)
        return self.std / (sigma_BD * r_BD.sqrt()) * net_BD - y_BD / r_BD

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the conditional score of the law with the smallest noise, shape of q."""
        return self.noisy_conditional_score(q_BD, c_BDF, torch.full_like(q_BD, self.levels[-1]))
