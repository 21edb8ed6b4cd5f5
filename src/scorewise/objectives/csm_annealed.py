"""Composite score matching with noise annealed in each dimension (AR-CSM, section 4.2)."""

from typing import Annotated, Any

import torch
from torch import Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalNoisyScore
from scorewise.gradients import elementwise_derivative
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.conditional import ConditionalObjective
from scorewise.objectives.multiscale import Multiscale
from scorewise.ranges import Count, OneOf, PositiveNumber, within_ranges

TARGETS = ("csm", "dsm")


class CSMAnnealed(ConditionalObjective[CausalNoisyScore], Multiscale[CausalNoisyScore]):
    """Composite score matching (eq. 5 of the AR-CSM paper) at one noise level per dimension.

    The loss is sum_d sigma_d^2 (s_d^2 / 2 + d s_d / d x~_d).

    The context of dimension d is computed from x_<d at the smallest level; the head sees x~_d = x_d + noise at level
    sigma_d and sigma_d itself, so it learns d/dx~_d log p_sigma(x~_d | x_<d) at every level. The weight sigma^2 keeps
    all levels at one scale (Song and Ermon 2019, eq. 6).

    Args:
        sigma_max, sigma_min, levels, smoothing: see `Multiscale`.
        target: csm, or dsm for its derivative-free twin (x~_d - clean_d) / sigma_d^2.
        continuous: draw levels log-uniformly between the largest and the smallest rather than from the rungs.

    Raises:
        ValueError: no such target, or see `Multiscale`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import CSMAnnealed
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = CSMAnnealed(1.0, 0.3, 3, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyConditionalScoreModel,)
    heads = ("noisy_conditional_score",)
    derivatives = 1

    @within_ranges
    def __init__(
        self,
        sigma_max: PositiveNumber,
        sigma_min: float | None,
        levels: Count,
        smoothing: float,
        target: Annotated[str, OneOf(TARGETS)] = "csm",
        continuous: bool = True,
    ) -> None:
        super().__init__(sigma_max, sigma_min, levels, smoothing)
        self.target, self.continuous = target, continuous

    @classmethod
    def derivatives_with(cls, target: str = "csm", **settings: Any) -> int:
        """Return 1, or 0 for the derivative-free target."""
        return 0 if target == "dsm" else cls.derivatives

    def sigmas(self, draws: Draws, dims: int, dtype: torch.dtype) -> Tensor:
        """Return a level per example and dimension, shape (B, D)."""
        if not self.continuous:
            return self.rungs(draws.fork("level"), dims, dtype=dtype)
        u_BD = draws.fork("level").uniform(dims, dtype=dtype)
        return self.levels[-1] * (self.levels[0] / self.levels[-1]) ** u_BD

    def seen(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the examples at the smallest level, as contexts see them."""
        return x_BD + self.noise * draws.fork("context").normal(x_BD.shape[1], dtype=x_BD.dtype)

    def per_dimension(self, model: CausalNoisyScore, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every dimension at its level, shape (B, D)."""
        dims, dtype = x_BD.shape[1], x_BD.dtype
        sigma_BD = self.sigmas(draws, dims, dtype)
        q_BD = x_BD + self.extra(sigma_BD) * draws.fork("query").normal(dims, dtype=dtype)
        if self.target == "csm":
            s_BD, ds_BD = elementwise_derivative(lambda q: model.noisy_conditional_score(q, c_BDF, sigma_BD), q_BD)
            return sigma_BD.square() * (0.5 * s_BD.square() + ds_BD)
        clean_BD = x_BD - self.smoothing * smoothing_noise(draws, x_BD)
        s_BD = model.noisy_conditional_score(q_BD, c_BDF, sigma_BD)
        return 0.5 * (sigma_BD * s_BD + (q_BD - clean_BD) / sigma_BD).square()
