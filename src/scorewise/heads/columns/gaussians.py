"""Mixtures of Gaussians in closed form, stable however far out and however narrow an interval is."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.special import log_ndtr, ndtr, ndtri

LOG_STD = (-7.0, 5.0)
START = -1.0
"""Log standard deviation that features of 0 stand for."""
STEPS = 60
"""Of the search for a quantile, at most: more halvings than a float64 has bits to halve."""


@dataclass(frozen=True)
class Gaussians:
    """Mixtures of K Gaussians in standard units, one per cell.

    Args:
        log_weight_BGK: logarithms of the weights.
        mean_BGK: the means.
        log_std_BGK: logarithms of the standard deviations.
    """

    log_weight_BGK: Tensor
    mean_BGK: Tensor
    log_std_BGK: Tensor

    @classmethod
    def read(cls, c_BGF: Tensor, spread_K: Tensor, floor_G: Tensor) -> Self:
        """Return the mixtures that 3 K features stand for.

        Args:
            c_BGF: logits, means less the spread, and log standard deviations less `START`.
            spread_K: where the means start: equal components never part.
            floor_G: standard deviation of the noise that every component is smoothed with, 0 for none.
        """
        logits_BGK, mean_BGK, log_std_BGK = c_BGF.chunk(3, dim=-1)
        log_std_BGK = (log_std_BGK + START).clamp(*LOG_STD)
        smoothed_BGK = 0.5 * torch.logaddexp(2 * log_std_BGK, 2 * floor_G.log().unsqueeze(-1))
        return cls(logits_BGK.log_softmax(-1), mean_BGK + spread_K, smoothed_BGK)

    def double(self) -> Self:
        """Return the same mixtures in float64."""
        return type(self)(self.log_weight_BGK.double(), self.mean_BGK.double(), self.log_std_BGK.double())

    def _places(self, v_BG: Tensor) -> Tensor:
        """Return places in standard deviations of every component; infinite ones stay so, without gradients."""
        finite_BG1, v_BG1 = v_BG.isfinite().unsqueeze(-1), v_BG.unsqueeze(-1)
        z_BGK = (torch.where(finite_BG1, v_BG1, 0) - self.mean_BGK) * torch.exp(-self.log_std_BGK)
        return torch.where(finite_BG1, z_BGK, v_BG1)

    def log_density(self, v_BG: Tensor) -> Tensor:
        """Return log f(v), shape of v."""
        log_f_BGK = -0.5 * self._places(v_BG).square() - self.log_std_BGK - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weight_BGK + log_f_BGK, dim=-1)

    def log_mass(self, low_BG: Tensor, high_BG: Tensor) -> Tensor:
        """Return log P(low < v <= high), shape of both; either may be infinite, low < high."""
        log_mass_BGK = log_interval(self._places(low_BG), self._places(high_BG))
        return torch.logsumexp(self.log_weight_BGK + log_mass_BGK, dim=-1)

    def below(self, v_BG: Tensor) -> Tensor:
        """Return P(y <= v), shape of v."""
        below_BG: Tensor = (self.log_weight_BGK.exp() * ndtr(self._places(v_BG))).sum(-1)
        return below_BG

    def quantile(self, p_BG: Tensor) -> Tensor:
        """Return the v with P(y <= v) = p, shape of p, float64: Newton's steps inside a bracket that they shrink.

        It lies between the least and the largest quantile of the components.
        """
        self, p_BG = self.double(), p_BG.double()
        each_BGK = self.mean_BGK + self.log_std_BGK.exp() * ndtri(p_BG).unsqueeze(-1)
        low_BG, high_BG = each_BGK.amin(-1), each_BGK.amax(-1)
        v_BG: Tensor = 0.5 * (low_BG + high_BG)
        for _ in range(STEPS):
            beyond_BG = self.below(v_BG) - p_BG
            low_BG = torch.where(beyond_BG < 0, v_BG, low_BG)
            high_BG = torch.where(beyond_BG < 0, high_BG, v_BG)
            next_BG = v_BG - beyond_BG / self.log_density(v_BG).exp()
            inside_BG = (next_BG > low_BG) & (next_BG < high_BG)
            next_BG = torch.where(inside_BG, next_BG, 0.5 * (low_BG + high_BG))
            if torch.equal(next_BG, v_BG):
                break
            v_BG = next_BG
        return v_BG


def log_interval(a: Tensor, b: Tensor) -> Tensor:
    """Return log(Phi(b) - Phi(a)) of the standard normal law, shape of both; either may be infinite, a < b."""
    from_below, to_above = a == -math.inf, b == math.inf
    finite_b = torch.where(to_above, torch.where(from_below, 1.0, a + 1), b)
    finite_a = torch.where(from_below, finite_b - 1, a)
    below, above = log_ndtr(finite_b), torch.where(from_below, 0.0, log_ndtr(-finite_a))
    return torch.where(to_above, above, torch.where(from_below, below, _log_closed(finite_a, finite_b)))


def _log_closed(a: Tensor, b: Tensor) -> Tensor:
    """Return the same of finite ends."""
    mirrored = a + b > 0  # so that both logarithms are of a tail, which is where they differ
    low, high = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    width, narrow = b - a, b - a < torch.finfo(a.dtype).eps ** (1 / 3)
    log_high = log_ndtr(high)
    gap = torch.where(narrow, -1.0, log_ndtr(low) - log_high)
    wide = log_high + torch.log(-torch.expm1(gap))
    # The integral of exp(-m t) over the width, times the density in the middle, m.
    m, tiny = 0.5 * (a + b), torch.finfo(a.dtype).tiny
    y = (m * width).abs().clamp(min=tiny)
    lifted = 0.5 * y + torch.log(-torch.expm1(-y) / y)
    slim = width.clamp(min=tiny).log() - 0.5 * m.square() - 0.5 * math.log(2 * math.pi) + lifted
    return torch.where(narrow, slim, wide)
