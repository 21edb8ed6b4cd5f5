"""How large the score of a noise-conditional model is at many levels, and how unusual these sizes are together."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.noise import geometric_ladder
from scorewise.outliers.profiles import ScoreProfiles

LEVELS = geometric_ladder(2.0, 0.05, 10)
"""Noise levels, in standard deviations of the data (Mahmood et al. 2021 use ten)."""
BATCH = 2000


def profile(score: Callable[[Tensor, Tensor], Tensor], x_BD: Tensor, levels: Sequence[float]) -> Tensor:
    """Return log |s(x, sigma)| at several levels, shape (B, L).

    Args:
        score: of examples (B, D) and their levels (B,).
        x_BD: examples.
        levels: sigma, in the scale of the data.
    """
    sizes = [score(x_BD, x_BD.new_full((len(x_BD),), sigma)).norm(dim=-1) for sigma in levels]
    return torch.stack(sizes, -1).clamp(min=math.exp(-30)).log()


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
        self.known = ScoreProfiles(self.profile(x_ND))

    @torch.no_grad()
    def profile(self, x_BD: Tensor) -> Tensor:
        """Return log |s(x, sigma)| at every level, shape (B, L)."""
        return torch.cat([profile(self.model.noisy_score, some_BD, self.levels) for some_BD in x_BD.split(BATCH)])

    def score(self, x_BD: Tensor, fitted: bool = False) -> Tensor:
        """Return how unusual the profile of every row is, shape (B,): larger means odder.

        Args:
            x_BD: rows.
            fitted: they are among those given, and each is judged by the others.
        """
        profile_BL = self.profile(x_BD)
        return self.known.distance_to_others(profile_BL) if fitted else self.known.distance(profile_BL)
