"""Means with what they are uncertain by, and curves short enough for a file of numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from scorewise.comparison.seeds import Mean, mean_of
from scorewise.figures.results import Claim

WITHIN = ", within noise"
"""Of a claim whose interval over seeds has values for which it holds and others for which it does not."""


def seeds_said(count: int) -> str:
    """Return what values over so many seeds are, for a caption."""
    return "one seed" if count == 1 else f"mean over {count} seeds with its 95 % Student-t interval"


def said(mean: Mean, spec: str) -> str:
    """Return "mean [low, high]" over seeds, of one seed its value, in a format such as ".2f"."""
    return f"{mean.mean:{spec}}" + (f" [{mean.low:{spec}}, {mean.high:{spec}}]" if mean.n > 1 else "")


def mean_of_shares(shares_S: Sequence[float]) -> Mean:
    """Return the mean of numbers in [0, 1] over seeds with its interval, cut to [0, 1]."""
    mean = mean_of(shares_S)
    return mean._replace(low=max(mean.low, 0.0), high=min(mean.high, 1.0)) if mean.n > 1 else mean


def apart(values_S: Sequence[float], others_S: Sequence[float]) -> Mean:
    """Return the mean of a difference seed by seed, with its interval."""
    return mean_of([value - other for value, other in zip(values_S, others_S, strict=True)])


def ratio_of(ratios: Sequence[float]) -> Mean:
    """Return the geometric mean of positive ratios with its interval, that of their logarithms."""
    logs = mean_of([math.log(ratio) for ratio in ratios])
    return Mean(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high), logs.n)


def judged(name: str, mean: Mean, spec: str, wanted: Callable[[float], bool], /, **facts: Any) -> Claim:
    """Return a claim that holds where the whole interval over seeds does; of one seed, where its value does.

    Args:
        name: of the claim in the figure's config.
        mean: over seeds, of differences seed by seed where two trainings are compared.
        spec: the format of what was measured.
        wanted: whether the claim holds of a value; if so, also of all that are larger, or of all that are smaller.
        facts: for its text, beside `measured`: the mean with its interval, "within noise" where the claim holds of some
            of that only, and "one seed".
    """
    holding = {wanted(value) for value in ((mean.mean,) if mean.n == 1 else (mean.low, mean.high))}
    rest = ", one seed" if mean.n == 1 else WITHIN if len(holding) == 2 else ""
    return Claim(name, holding == {True}, measured=said(mean, spec) + rest, **facts)


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
