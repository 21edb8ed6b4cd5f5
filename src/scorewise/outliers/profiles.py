"""Sizes of scores at many noise levels, beside those of ordinary examples."""

from torch import Tensor

from scorewise.outliers.nearest import NearestRows

NEIGHBOURS = 5


class ScoreProfiles:
    """The profiles log |s(x, sigma)| over levels of ordinary examples, and how far others are from the nearest of them.

    An outlier has scores that are too large or too small at some level (multiscale score matching analysis, Mahmood et
    al. 2021). Each level counts in its own standard deviations.

    Args:
        profile_NL: of ordinary examples in random order, a number per level.

    Example:
        >>> import torch
        >>> from scorewise.outliers import ScoreProfiles
        >>> known = ScoreProfiles(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> known.distance(torch.tensor([[1.0, 1.0]])).round(decimals=3)
        tensor([1.])
    """

    def __init__(self, profile_NL: Tensor) -> None:
        self.mean_L, self.std_L = profile_NL.mean(0), profile_NL.std(0, correction=0) + 1e-6
        self.nearest = NearestRows((profile_NL - self.mean_L) / self.std_L, NEIGHBOURS)

    def distance(self, profile_BL: Tensor) -> Tensor:
        """Return the mean distance of every profile to the nearest ones, shape (B,): larger means odder."""
        return self.nearest.distance((profile_BL - self.mean_L) / self.std_L)

    def distance_to_others(self, profile_BL: Tensor) -> Tensor:
        """Return the same, not counting a profile that equals it."""
        return self.nearest.distance_to_others((profile_BL - self.mean_L) / self.std_L)
