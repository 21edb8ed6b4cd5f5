"""Means with what they are uncertain by, and curves short enough for a file of numbers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation over repetitions (0 for one)."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def with_spread(values: Sequence[float], digits: int) -> str:
    """Return "mean (standard deviation)"."""
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f} ({spread:.{digits}f})"


class Paired(NamedTuple):
    """The mean of a difference example by example, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, one: Sequence[float], other: Sequence[float]) -> "Paired":
        """Return one - other."""
        difference = torch.tensor(one, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64)
        return cls(float(difference.mean()), float(difference.std()) / math.sqrt(len(difference)))

    def __str__(self) -> str:
        """Return "mean (standard error)"."""
        return f"{self.mean:+.2f} ({self.error:.2f})"


def thinned(curve: Sequence[tuple[int, float]], most: int = 400) -> list[tuple[int, float]]:
    """Return a curve with at most so many points, evenly picked, the last one kept."""
    if len(curve) <= most:
        return list(curve)
    picked = [curve[i * (len(curve) - 1) // (most - 1)] for i in range(most)]
    return [(step, float(f"{value:.6g}")) for step, value in picked]
