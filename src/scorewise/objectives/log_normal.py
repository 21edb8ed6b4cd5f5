"""Noise levels whose logarithm is a Gaussian."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_SHARE = 1e-3
"""Of the law, that must lie on the ladder."""


class LogNormalLevels:
    """A Gaussian of log levels, cut off at the ends of a ladder (Karras et al. 2022, table 1).

    Args:
        ladder: levels from the largest to the smallest.
        log_mean: mean of the logarithm.
        log_std: its standard deviation.

    Raises:
        ValueError: next to nothing of it is between the ends.
    """

    def __init__(self, ladder: Sequence[float], log_mean: float, log_std: float) -> None:
        self.log_mean, self.log_std = log_mean, log_std
        self.smallest, self.largest = ladder[-1], ladder[0]
        ends = torch.tensor([math.log(self.smallest), math.log(self.largest)], dtype=torch.float64)
        self.low, self.high = torch.special.ndtr((ends - log_mean) / log_std).tolist()
        if not self.high - self.low >= LEAST_SHARE:
            raise ValueError(
                f"objective.log_mean={log_mean:g} and objective.log_std={log_std:g} have "
                f"{100 * (self.high - self.low):.2g} % of their levels between {self.smallest:g} and {self.largest:g}: "
                "give the logarithm of a level there"
            )

    def of(self, u: Tensor) -> Tensor:
        """Return the levels at uniform numbers in (0, 1), shape of u."""
        log_sigma = self.log_mean + self.log_std * torch.special.ndtri(self.low + (self.high - self.low) * u)
        sigma: Tensor = log_sigma.exp().clamp(self.smallest, self.largest)
        return sigma
