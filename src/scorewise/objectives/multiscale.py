"""What objectives over a ladder of noise levels share."""

import math
from abc import ABC

import torch
from torch import Tensor

from scorewise.capabilities.roles import Spread
from scorewise.noise import Draws, geometric_ladder
from scorewise.objectives.objective import M, Objective
from scorewise.ranges import Count, PositiveNumber, within_ranges

WEIGHTS = ("sigma2", "edm")
"""Of the levels: sigma^2, or that times (sigma^2 + std^2) / std^2 with the std of the data."""


def beside_sigma2(weight: str, sigma: Tensor, model: Spread) -> Tensor:
    """Return what a weight of levels has beside sigma^2, shape of sigma.

    By edm the target of a network in EDM form counts alike at every level (Karras et al. 2022, table 1). By sigma2
    levels far above the data hardly count.

    Args:
        weight: one of WEIGHTS.
        sigma: levels.
        model: knows the standard deviation of the clean data.
    """
    return (sigma.square() + model.std**2) / model.std**2 if weight == "edm" else torch.ones_like(sigma)


class Multiscale(Objective[M], ABC):
    """An objective that fits scores at a ladder of noise levels.

    Levels are the whole noise of the law, the data's own smoothing included: x at level sigma has the smoothing and
    another sqrt(sigma^2 - smoothing^2) on top, so the smallest level can be the very law of other objectives.

    Args:
        sigma_max: the largest level.
        sigma_min: the smallest level; None for the smoothing itself.
        levels: rungs of the geometric ladder.
        smoothing: of the data.

    Raises:
        ValueError: no ladder, or one that begins below the smoothing.
    """

    @within_ranges
    def __init__(self, sigma_max: PositiveNumber, sigma_min: float | None, levels: Count, smoothing: float) -> None:
        if sigma_min is None and smoothing == 0:
            raise ValueError(
                "objective.sigma_min=null takes data.smoothing as the smallest noise level, and that is 0: "
                "give objective.sigma_min, or smooth the data"
            )
        smallest = smoothing if sigma_min is None else sigma_min
        if smallest < smoothing:
            raise ValueError(
                f"objective.sigma_min={sigma_min:g} is less noise than data.smoothing={smoothing:g} already puts "
                "there: lower data.smoothing"
            )
        if levels > 1 and not sigma_max > smallest:
            raise ValueError(
                f"objective.sigma_max={sigma_max:g} must be above the smallest level, {smallest:g}: the ladder goes "
                "down from it"
            )
        self.smoothing = smoothing
        self.levels = geometric_ladder(sigma_max, smallest, levels)
        self.noise = math.sqrt(smallest**2 - smoothing**2)

    def extra(self, sigma: Tensor) -> Tensor:
        """Return the standard deviation of what must be added to smoothed data to reach the levels sigma."""
        return (sigma.square() - self.smoothing**2).clamp(min=0).sqrt()

    def rungs(self, draws: Draws, *shape: int, dtype: torch.dtype) -> Tensor:
        """Return one level per entry, uniform over the ladder, shape (B, *shape)."""
        ladder_L = torch.tensor(self.levels, dtype=dtype, device=draws.key_B.device)
        index = (draws.uniform(*shape) * len(self.levels)).long().clamp(max=len(self.levels) - 1)
        return ladder_L[index]
