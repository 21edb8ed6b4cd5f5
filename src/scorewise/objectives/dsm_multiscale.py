"""Denoising score matching over a ladder of noise levels (Song and Ermon 2019)."""

from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.capabilities.roles import JointLadder
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.log_normal import LogNormalLevels
from scorewise.objectives.multiscale import WEIGHTS, Multiscale, beside_sigma2
from scorewise.ranges import Count, OneOf, Position, PositiveNumber, within_ranges

LAWS = ("ladder", "log_uniform", "log_normal")
"""Of the level that an example is trained at."""


class DSMMultiscale(Multiscale[JointLadder]):
    """Denoising score matching at a level of noise drawn per example (NCSN, eq. 5 and 6).

    The loss is sigma^2 |s(x~, sigma) + (x~ - clean) / sigma^2|^2 / 2, times what the weight has beside sigma^2.

    The slides' first line of it has s(x) and q(x, x~) instead of s(x~, sigma) and q(x~ | x). Here x~ = x + extra z is
    made from the smoothed x, and the clean example is recovered from x and the noise that smoothed it, so that x~
    given the clean example has exactly the noise sigma. On a Gaussian of variance v the slope is
    -1 / (v + sigma^2), and the loss at a rung has the minimum (D / 2) v / (v + sigma^2), D / 2 at most.

    Args:
        sigma_max: the largest level.
        sigma_min: the smallest level; None for the smoothing itself.
        levels: rungs of the geometric ladder.
        smoothing: of the data.
        drawn: how the level of an example is drawn in training: from the ladder, log_uniform between its ends, or
            log_normal, cut off at its ends (Karras et al. 2022, table 1).
        log_mean: mean of the logarithm of log-normal levels, None for the other laws.
        log_std: its standard deviation.
        weight: sigma2, or edm, see `multiscale.beside_sigma2`.

    Raises:
        ValueError: no ladder, no such law of the levels, or one that hardly touches the ladder.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import DSMMultiscale
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = DSMMultiscale(1.0, 0.3, 3, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyScoreModel,)
    heads = ("noisy_score",)

    @within_ranges
    def __init__(
        self,
        sigma_max: PositiveNumber,
        sigma_min: float | None,
        levels: Count,
        smoothing: float,
        drawn: Annotated[str, OneOf(LAWS)] = "ladder",
        log_mean: Position | None = None,
        log_std: PositiveNumber = 1.3,
        weight: Annotated[str, OneOf(WEIGHTS)] = "sigma2",
    ) -> None:
        super().__init__(sigma_max, sigma_min, levels, smoothing)
        self.drawn, self.weight = drawn, weight
        if (drawn == "log_normal") is (log_mean is None):
            raise ValueError(
                "objective.log_mean is of the logarithm of levels with objective.drawn=log_normal: give both or neither"
            )
        self.law = None if log_mean is None else LogNormalLevels(self.levels, log_mean, log_std)

    def levels_of(self, draws: Draws, dtype: torch.dtype) -> Tensor:
        """Return the level that every example is trained at, by the law of the levels, shape (B,)."""
        if self.drawn == "ladder":
            return self.rungs(draws, dtype=dtype)
        u_B = draws.uniform(dtype=dtype)
        return self.levels[-1] * (self.levels[0] / self.levels[-1]) ** u_B if self.law is None else self.law.of(u_B)

    def per_example(self, model: JointLadder, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example at a level of its own, shape (B,)."""
        return self._at(self.levels_of(draws.fork("level"), x_BD.dtype), model, x_BD, draws)

    def per_level(self, model: JointLadder, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example at every rung, largest level first, shape (L, B)."""
        sigmas = [torch.full_like(x_BD[:, 0], level) for level in self.levels]
        return torch.stack([self._at(sigma_B, model, x_BD, draws, f"rung {i}") for i, sigma_B in enumerate(sigmas)])

    def held_out(self, model: JointLadder, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the mean over all rungs, shape (B,): the expected loss, less noisy than one rung per example."""
        return self.per_level(model, x_BD, draws).mean(0)

    def _at(self, sigma_B: Tensor, model: JointLadder, x_BD: Tensor, draws: Draws, rung: str = "rung") -> Tensor:
        """Return the loss of every example at the given levels, shape (B,)."""
        clean_BD = x_BD - self.smoothing * smoothing_noise(draws, x_BD) if self.smoothing > 0 else x_BD
        z_BD = draws.fork(rung).normal(x_BD.shape[1], dtype=x_BD.dtype)
        noisy_BD, sigma_B1 = x_BD + self.extra(sigma_B)[:, None] * z_BD, sigma_B[:, None]
        s_BD = model.noisy_score(noisy_BD, sigma_B)
        loss_B = 0.5 * (sigma_B1 * s_BD + (noisy_BD - clean_BD) / sigma_B1).square().sum(-1)
        return beside_sigma2(self.weight, sigma_B, model) * loss_B
