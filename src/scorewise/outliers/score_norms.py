"""How large the score of a noise-conditional model is at many levels, and how unusual these sizes are together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.noise import geometric_ladder
from scorewise.outliers.nearest import NearestRows

LEVELS = geometric_ladder(2.0, 0.05, 10)
"""Noise levels, in standard deviations of the data (Mahmood et al. 2021 use ten)."""
NEIGHBOURS = 5
BATCH = 2000


class ScoreNorms:
    """The numbers log |s(x, sigma)| at several levels, and how far they are from those of rows of the data.

    An outlier has scores that are too large or too small at some level, which the nearest of the data's own profiles
    tell (multiscale score matching analysis, Mahmood et al. 2021).

    Args:
        model: with the joint score at every level.
        x_ND: rows of the data.
        levels: sigma, in the scale of the data.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.outliers import ScoreNorms
        >>> model = NoisyScore(NoisyMLP((3,), 1, (16,)), levels=(1.0, 0.5))
        >>> norms = ScoreNorms(model, torch.randn(50, 3), levels=(1.0, 0.5))
        >>> norms.profile(torch.randn(4, 3)).shape, norms.score(torch.randn(4, 3)).shape
        (torch.Size([4, 2]), torch.Size([4]))
    """

    def __init__(self, model: NoisyScoreModel, x_ND: Tensor, levels: Sequence[float] = LEVELS) -> None:
        self.model, self.levels = model, tuple(levels)
        profile_NL = self.profile(x_ND)
        self.mean_L, self.std_L = profile_NL.mean(0), profile_NL.std(0, correction=0) + 1e-6
        self.nearest = NearestRows((profile_NL - self.mean_L) / self.std_L, NEIGHBOURS)

    @torch.no_grad()
    def profile(self, x_BD: Tensor) -> Tensor:
        """Return log |s(x, sigma)| at every level, shape (B, L)."""
        parts = []
        for some_BD in x_BD.split(BATCH):
            sizes = [self.model.noisy_score(some_BD, some_BD.new_full((len(some_BD),), s)) for s in self.levels]
            parts.append(torch.stack([s_BD.norm(dim=-1) for s_BD in sizes], -1))
        return torch.cat(parts).clamp(min=math.exp(-30)).log()

    def score(self, x_BD: Tensor) -> Tensor:
        """Return how unusual the profile of every row is, shape (B,): larger means odder."""
        return self.nearest.distance((self.profile(x_BD) - self.mean_L) / self.std_L)
